#include "command/output_folder.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/remove_quietly.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

/// Files and folders below, without following links.
std::vector<fs::path> all_below(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error); !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    found.push_back(entry->path());
  }
  if (error) found.emplace_back();  // what cannot be listed is not known to be Virgil's
  return found;
}

/// What `tokenize` writes: train/*.bin and val/*.bin, and a tokenizer's files; each perhaps under its temporary name still.
bool is_own(const fs::path& path, const fs::path& folder) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  const fs::path inside = path.lexically_relative(folder);
  const std::string part = inside.begin() == inside.end() ? std::string() : inside.begin()->string();
  if (type == fs::file_type::directory) return inside == "train" || inside == "val";
  if (type != fs::file_type::regular) return false;
  const std::string temporary = name_of_temporary(path);
  const std::string name = temporary.empty() ? path.filename().string() : temporary;
  if (part == "train" || part == "val") return name.ends_with(".bin");
  return inside.has_parent_path() == false && name.starts_with("tokenizer") && name.ends_with(".json");
}

void remove_leftovers_of(FileSystem& files, const fs::path& folder) {
  const fs::path parent = folder.has_parent_path() ? folder.parent_path() : fs::path(".");
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator entry(parent, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    std::error_code vanished;
    if (name_of_temporary(path) != folder.filename().string()) continue;
    if (fs::symlink_status(path, vanished).type() == fs::file_type::directory) leftovers.push_back(path);
  }
  for (const fs::path& leftover : leftovers) {
    if (!std::ranges::all_of(all_below(leftover), [&](const fs::path& path) { return is_own(path, leftover); })) continue;
    try {
      const DirectoryLock lock(leftover);
      files.remove_all(leftover);
    } catch (const UserError&) {
      // Another process is writing it, or it cannot be removed: it is in nobody's way.
    }
  }
}

}  // namespace

OutputFolder::OutputFolder(FileSystem& files, fs::path folder) : files_(files), folder_(std::move(folder)) {
  if (!folder_.has_filename()) folder_ = folder_.parent_path();
  remove_leftovers_of(files_, folder_);
  partial_ = temporary_name(folder_);
  files_.create_directories(partial_);
  lock_.emplace(partial_);
}

OutputFolder::~OutputFolder() {
  if (!done_) remove_quietly(files_, partial_);
}

void OutputFolder::finish() {
  files_.rename(partial_, folder_);
  done_ = true;
  files_.sync_directory(folder_.has_parent_path() ? folder_.parent_path() : ".");
}

}  // namespace virgil
