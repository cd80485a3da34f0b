#include "virgil/data/input_files.h"

#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <memory>
#include <set>
#include <system_error>

#include "virgil/base/error.h"

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

std::vector<fs::path> expand(const std::string& input) {
  std::error_code ignored;
  if (fs::is_directory(input, ignored)) return files_below(input);
  if (fs::exists(input, ignored)) return {fs::path(input)};
  if (input.find_first_of("*?[") != std::string::npos) return matches_of(input);
  throw user_error("{}: no such file; give a text file, a folder, a pattern such as 'texts/*.txt', or token files (.bin)",
                   input);
}

}  // namespace

std::vector<fs::path> expand_inputs(const std::vector<std::string>& inputs, Logger& log) {
  std::vector<fs::path> files;
  std::set<fs::path> seen;
  for (const std::string& input : inputs) {
    for (const fs::path& file : expand(input)) {
      if (seen.insert(fs::weakly_canonical(file)).second) {
        files.push_back(file);
      } else {
        log.warn(fmt::format("{}: named twice among the inputs, read once", file.string()));
      }
    }
  }
  return files;
}

bool is_token_file(const fs::path& path) { return path.extension() == ".bin"; }

}  // namespace virgil
