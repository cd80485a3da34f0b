#include "virgil/format/checkpoint_marks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <system_error>

#include "format/checkpoint_format.h"
#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/base/paths.h"
#include "virgil/format/event_file.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxStateBytes = std::int64_t{1} << 26;

// What any version of Virgil has written into a checkpoint; the state of a whole one lists its files besides.
constexpr std::array<std::string_view, 13> kCheckpointFiles = {kParametersFile,
                                                               kOptimizerFile,
                                                               kConfigFile,
                                                               kStateFile,
                                                               kStateHashFile,
                                                               "tokenizer.json",
                                                               "vocab.json",
                                                               "tokenizer.virgil.json",
                                                               "merges.txt",
                                                               "tokenizer_config.json",
                                                               "README.md",
                                                               "generation_config.json",
                                                               "special_tokens_map.json"};

/// Names that the state lists, as far as it can be read.
std::set<std::string> listed_files(const fs::path& checkpoint) {
  std::set<std::string> names;
  if (!is_plain_file(checkpoint / kStateFile)) return names;
  const nlohmann::ordered_json state = parse_json_or_null(read_file(checkpoint / kStateFile, kMaxStateBytes));
  if (!state.is_object() || !state.contains("files") || !state["files"].is_object()) return names;
  for (const auto& [name, file] : state["files"].items()) names.insert(name);
  return names;
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) throw user_error("{}: cannot list the folder: {}", directory.string(), error.message());
  std::ranges::sort(entries);
  return entries;
}

/// Not by way of a link: what that leads to is not the run's.
fs::file_type type_of(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type();
}

}  // namespace

std::vector<fs::path> strangers_in(const fs::path& checkpoint) {
  const std::set<std::string> listed = listed_files(checkpoint);
  std::vector<fs::path> strangers = entries_of(checkpoint);
  std::erase_if(strangers, [&](const fs::path& path) {
    const std::string name = path.filename().string();
    const bool is_own = std::ranges::find(kCheckpointFiles, name) != kCheckpointFiles.end() || listed.contains(name);
    return is_own && type_of(path) == fs::file_type::regular;
  });
  return strangers;
}

bool is_run_file(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {kMetricsFile, kRunSessionsFile, kRunConfigFile, kRunConfigHashFile};
  return std::ranges::find(kNames, name) != kNames.end() || event_file_time(name).has_value();
}

bool is_leftover(const fs::path& path, const std::string& also) {
  const std::string name = name_of_temporary(path);
  if (name.empty()) return false;
  const fs::file_type type = type_of(path);
  if (type == fs::file_type::regular) return is_run_file(name);
  if (type != fs::file_type::directory || !(name == also || is_checkpoint_name(name))) return false;
  return strangers_in(path).empty();
}

void remove_leftovers(FileSystem& files, const fs::path& directory, const std::string& also) {
  if (!is_folder(directory)) return;
  for (const fs::path& path : entries_of(directory)) {
    if (is_leftover(path, also)) files.remove_all(path);
  }
}

void remove_checkpoint(FileSystem& files, const fs::path& directory) {
  if (!is_name_taken(directory)) return;
  const fs::path doomed = temporary_name(directory);
  files.rename(directory, doomed);
  files.remove_all(doomed);
}

void remove_replaced(FileSystem& files, const fs::path& replaced, const fs::path& heir) {
  if (type_of(replaced) == fs::file_type::directory && is_folder(heir)) {
    for (const fs::path& stranger : strangers_in(replaced)) {
      fs::path kept = heir / stranger.filename();
      while (is_name_taken(kept)) kept += kOldSuffix;
      files.rename(stranger, kept);
    }
  }
  files.remove_all(replaced);
}

}  // namespace virgil
