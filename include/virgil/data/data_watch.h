// Whether the files that tokens are mapped from still hold what they held.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>

#include "virgil/data/dataset.h"

namespace virgil {

/// Notices that somebody has written into a mapped token file while it is in use: such a run would learn from other tokens than
/// it says, and could not be resumed. Asking costs a stat(2) a file. Not safe from several threads.
class DataWatch {
 public:
  /// `data` must outlive the watch; nullptr: nothing is watched.
  explicit DataWatch(const TokenData* data) : data_(data) {}

  /// Throws UserError naming the files that were written to, if the tokens are no longer those of data's fingerprint. All of
  /// them are read to tell that, once for every change; a file that was only touched is no error.
  void check();
  /// The same, but asks the files only when `interval` has passed since it last did.
  void check_every(std::chrono::steady_clock::duration interval);

 private:
  const TokenData* data_;
  std::map<std::filesystem::path, std::filesystem::file_time_type> verified_;  // written to, and found to be the same
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace virgil
