// What the program `sweep` does: a run of train for each of several settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"

namespace virgil {

/// A key and the values that it takes, as written.
struct SweptKey {
  std::string key;  // canonical
  std::vector<std::string> values;
};

struct SweepRequest {
  std::vector<SweptKey> keys;          // in the order given
  std::vector<std::string> arguments;  // of train, for all runs
  bool zip = false;                    // the i-th values together, instead of each with each
  std::string name = "sweep";          // of the folder in out_dir that holds the runs
  std::int64_t jobs = 1;               // runs at once
  bool dry_run = false;                // only say what would be run
  bool help = false;
  bool version = false;
};

/// Splits a command line: flags of sweep's own, keys with several values ("--learning_rate 1e-3,3e-3"), and all else, which is
/// train's. Throws UserError.
[[nodiscard]] SweepRequest parse_sweep(std::span<const std::string> arguments);

/// One run of a sweep.
struct SweepRun {
  std::string name;                    // "learning_rate=1e-3,n_layer=4": of its folder
  std::filesystem::path folder;        // out_dir/SWEEP/NAME
  std::vector<std::string> arguments;  // of train, but for --resume
};

/// The runs of a sweep, each checked as far as a command line can be. Throws UserError: nothing to sweep, lists of several
/// lengths to be zipped, too many runs, what train would refuse.
[[nodiscard]] std::vector<SweepRun> runs_of_sweep(const SweepRequest& request);

/// Runs whose commands say nothing of the model (default_preset.h) get one preset, chosen once: what `train` would choose for
/// each depends on what else the machine does. `log` is told.
void settle_presets(std::vector<SweepRun>& runs, Logger& log);

/// The program: trains what is not finished yet, resuming what has a checkpoint, then prints a table and writes a report.
/// `train` is the program's path. Gives the exit code: 0, or 1 where a run failed or diverged; throws UserError, HelpShown or
/// Stopped.
[[nodiscard]] int sweep_program(std::span<const std::string> arguments, const std::string& train);

}  // namespace virgil
