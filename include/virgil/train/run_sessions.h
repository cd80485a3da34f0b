// run.json: what does not change during a run, once for each time that it was started or resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/memory/memory_resource.h"

namespace virgil {

/// One start of a run, and all that its steps have in common.
struct RunSession {
  std::int64_t first_step = 0;
  double started = 0;        // Unix seconds
  std::string program = {};  // "train, Virgil 0.1.0"
  std::string host = {};     // of rank 0
  std::string device = {};   // as the run's first line names it
  std::int64_t processes = 1;
  double peak_gflops = 0;  // of the matrix product that mfu is measured against, all processes together; 0: none was timed
  std::int64_t parameters = 0;
  std::int64_t vocab_size = 0;
  std::int64_t train_tokens = 0;
  std::int64_t val_tokens = 0;               // 0: nothing is held out
  BytesByCategory planned_by_category = {};  // of rank 0
  std::int64_t process_before_bytes = 0;     // resident before the plan was allocated; 0: not known

  friend bool operator==(const RunSession&, const RunSession&) = default;
};

/// One that starts now, on this host, of this version of the program.
[[nodiscard]] RunSession begin_session(std::string_view program);

[[nodiscard]] std::filesystem::path run_sessions_path(const std::filesystem::path& run);

/// The sessions of a run, oldest first. Empty where there is no such file: a run of a version that wrote none. Throws UserError
/// where the file is damaged.
[[nodiscard]] std::vector<RunSession> read_run_sessions(const std::filesystem::path& run);

/// Adds one, atomically. Sessions that began at its first step or later left no step that counts, and are dropped. A damaged
/// file is replaced; the defect is returned for a warning, empty where there is none.
std::string add_run_session(FileSystem& files, const std::filesystem::path& run, const RunSession& session);

}  // namespace virgil
