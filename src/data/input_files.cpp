#include "virgil/data/input_files.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/base/error.h"
#include "virgil/base/nearest_name.h"
#include "virgil/base/shell_quote.h"
#include "virgil/data/text_reader.h"
#include "virgil/data/token_file.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> found;
  try {
    for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
      const bool hidden = entry->path().filename().string().starts_with('.');
      if (hidden && entry->is_directory()) entry.disable_recursion_pending();
      if (!hidden && entry->is_regular_file()) found.push_back(entry->path());
    }
  } catch (const fs::filesystem_error& error) {
    throw user_error("{}: {}", folder.string(), error.code().message());
  }
  if (found.empty()) throw user_error("{}: the folder holds no files; give a text file", folder.string());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t result{};
  const std::unique_ptr<glob_t, decltype(&globfree)> owner(&result, globfree);
  const int status = glob(pattern.c_str(), 0, nullptr, &result);
  if (status == GLOB_NOMATCH) throw user_error("{}: no file matches this pattern", pattern);
  if (status != 0) throw user_error("{}: the pattern's folders cannot be read", pattern);
  std::vector<fs::path> found;
  for (std::size_t i = 0; i < result.gl_pathc; ++i) {
    if (fs::is_regular_file(result.gl_pathv[i])) found.emplace_back(result.gl_pathv[i]);
  }
  if (found.empty()) throw user_error("{}: the pattern matches folders only; name the files in them", pattern);
  return found;
}

bool is_url(const std::string& input) {
  const std::size_t colon = input.find("://");
  const auto is_letter = [](unsigned char c) { return std::isalnum(c) != 0; };
  return colon != input.npos && colon > 0 &&
         std::all_of(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(colon), is_letter);
}

UserError no_such_input(const std::string& input) {
  if (is_url(input)) {
    return user_error("{}: addresses are not fetched; download it first (curl -LO {}), then give the file", input,
                      shell_quote(input));
  }
  const std::string near = nearest_path(input);
  if (!near.empty()) return user_error("{}: no such file; did you mean {}?", input, near);
  return user_error("{}: no such file; give a text file, a folder, a pattern such as 'texts/*.txt', or token files (.bin)",
                    input);
}

struct Expansion {
  std::vector<fs::path> files;
  bool is_named = false;  // the file itself, which then must be there and hold something
};

Expansion expand(const std::string& input) {
  if (input.empty()) throw UserError("an input is empty; give a text file, a folder or a pattern");
  if (input == "-" || input == "/dev/stdin" || input == "/dev/fd/0" || input == "/proc/self/fd/0") {
    throw user_error("{}: standard input is not read, as a text is read more than once; save it first: COMMAND > text.txt",
                     input);
  }
  std::error_code error;
  const fs::file_status status = fs::status(input, error);
  if (fs::is_directory(status)) return {files_below(input), false};
  if (fs::exists(status)) return {{fs::path(input)}, true};
  if (input.find_first_of("*?[") != std::string::npos) return {matches_of(input), false};
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw user_error("{}: {}; check the path and its permissions", input, error.message());
  }
  throw no_such_input(input);
}

/// One line, however many there are.
void report_empty(const std::vector<fs::path>& empty, Logger& log) {
  constexpr std::size_t kNamed = 3;
  if (empty.empty()) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(kNamed, empty.size()); ++i) names += (i == 0 ? "" : ", ") + empty[i].string();
  log.info(fmt::format("{} left out: {}{}",
                       empty.size() == 1 ? "an empty file is" : fmt::format("{} empty files are", empty.size()), names,
                       empty.size() > kNamed ? ", ..." : ""));
}

}  // namespace

std::vector<fs::path> expand_inputs(const std::vector<std::string>& inputs, Logger& log) {
  std::vector<fs::path> files;
  std::vector<fs::path> empty;
  std::set<fs::path> seen;
  for (const std::string& input : inputs) {
    const Expansion expansion = expand(input);
    for (const fs::path& file : expansion.files) {
      if (!seen.insert(fs::weakly_canonical(file)).second) {
        log.warn(fmt::format("{}: named twice among the inputs, read once", file.string()));
      } else if (!expansion.is_named && is_empty_text(file)) {
        empty.push_back(file);
      } else {
        files.push_back(file);
      }
    }
  }
  if (files.empty() && !empty.empty()) {
    throw user_error("{}: {} and holds nothing; give a text to learn from", inputs.front(),
                     empty.size() == 1 ? "its one file is empty" : fmt::format("all of its {} files are empty", empty.size()));
  }
  report_empty(empty, log);
  return files;
}

bool is_token_file(const fs::path& path) { return path.extension() == ".bin" || begins_as_token_file(path); }

std::string absolute_input(const std::string& input) {
  std::error_code error;
  const fs::path path(input);
  if (input.empty() || path.is_absolute()) return input;
  const fs::path folder = fs::current_path(error);
  if (error) return input;
  const bool is_pattern = !fs::exists(path, error) && input.find_first_of("*?[") != input.npos;
  if (!is_pattern) return (folder / path).lexically_normal().string();
  std::string prefix;  // stands for itself in a pattern
  for (const char c : folder.string()) {
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) prefix += '\\';
    prefix += c;
  }
  return (prefix.ends_with('/') ? prefix : prefix + "/") + input;
}

}  // namespace virgil
