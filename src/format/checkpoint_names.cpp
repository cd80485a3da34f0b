// Names inside a run's folder, and what may be deleted there.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "format/checkpoint_format.h"
#include "virgil/base/error.h"
#include "virgil/base/paths.h"
#include "virgil/format/checkpoint_marks.h"

namespace virgil {
namespace {

constexpr std::string_view kStepPrefix = "step-";

std::optional<std::int64_t> parse_digits(std::string_view text) {
  const bool is_digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return is_digits && error == std::errc() ? std::optional(number) : std::nullopt;
}

/// The step of "step-00000500" or "step-00000500.old".
std::optional<std::int64_t> step_of(std::string_view name) {
  if (name.ends_with(kOldSuffix)) name.remove_suffix(std::string_view(kOldSuffix).size());
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  const auto step = parse_digits(name.substr(kStepPrefix.size()));
  return step && step_checkpoint_name(*step) == name ? step : std::nullopt;
}

std::vector<std::filesystem::path> subdirectories(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  std::filesystem::directory_iterator iterator(directory, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && iterator != std::filesystem::directory_iterator(); iterator.increment(error)) {
    std::error_code vanished;
    if (iterator->is_directory(vanished)) found.push_back(iterator->path());
  }
  if (error) throw user_error("{}: cannot list the folder: {}", directory.string(), error.message());
  return found;
}

}  // namespace

bool is_checkpoint_name(std::string_view name) {
  std::string_view plain = name;
  if (plain.ends_with(kOldSuffix)) plain.remove_suffix(std::string_view(kOldSuffix).size());
  return plain == kBestCheckpoint || step_of(name).has_value();
}

std::filesystem::path with_suffix(const std::filesystem::path& directory, std::string_view suffix) {
  std::filesystem::path result = directory;
  result += suffix;
  return result;
}

std::filesystem::path parent_of(const std::filesystem::path& directory) {
  return directory.has_parent_path() ? directory.parent_path() : ".";
}

std::string step_checkpoint_name(std::int64_t step) { return fmt::format("{}{:08}", kStepPrefix, step); }

std::vector<std::filesystem::path> list_step_checkpoints(const std::filesystem::path& run_directory) {
  std::set<std::int64_t> steps;
  for (const std::filesystem::path& path : subdirectories(run_directory)) {
    if (const auto step = step_of(path.filename().string())) steps.insert(*step);
  }
  std::vector<std::filesystem::path> paths;
  for (const std::int64_t step : steps) paths.push_back(run_directory / step_checkpoint_name(step));
  return paths;
}

void prune_checkpoints(FileSystem& files, const std::filesystem::path& run_directory, std::int64_t keep_last) {
  std::vector<std::filesystem::path> checkpoints = list_step_checkpoints(run_directory);
  const auto keep = static_cast<std::size_t>(keep_last);
  const std::size_t num_doomed = keep_last == 0 || checkpoints.size() <= keep ? 0 : checkpoints.size() - keep;
  for (std::size_t i = 0; i < num_doomed; ++i) {
    for (const std::filesystem::path& path : {with_suffix(checkpoints[i], kOldSuffix), checkpoints[i]}) {
      // One that somebody keeps something in stays whole.
      if (is_folder(path) && strangers_in(path).empty()) remove_checkpoint(files, path);
    }
  }
  remove_leftovers(files, run_directory);
}

}  // namespace virgil
