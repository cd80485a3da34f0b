// What in a run's folder is Virgil's own, and may be removed: told by names and content, so that nothing that somebody else put
// there goes with it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"

namespace virgil {

/// Entries of the folder of a checkpoint that no checkpoint holds: neither a file that checkpoints are made of, nor one that
/// its training_state.json lists. Sorted. Throws UserError when the folder cannot be read.
[[nodiscard]] std::vector<std::filesystem::path> strangers_in(const std::filesystem::path& checkpoint);

/// Whether a file of this name in a run's folder is the run's: its configuration, its figures, its event files.
[[nodiscard]] bool is_run_file(std::string_view name);

/// Whether `path` was left by a process that ended while it wrote: a name that temporary_name made of one of a run's, or of
/// `also`, and nothing in it but what a save writes.
[[nodiscard]] bool is_leftover(const std::filesystem::path& path, const std::string& also = {});

/// Removes every leftover in `directory`.
void remove_leftovers(FileSystem& files, const std::filesystem::path& directory, const std::string& also = {});

/// Removes a checkpoint in a way that leaves no half of one under its name: it is renamed first. A name that is not taken is
/// passed over.
void remove_checkpoint(FileSystem& files, const std::filesystem::path& directory);

/// Removes `replaced`, which `heir` has taken the place of. What others had put into it is moved into `heir`.
void remove_replaced(FileSystem& files, const std::filesystem::path& replaced, const std::filesystem::path& heir);

}  // namespace virgil
