// bench --to_loss: how long training takes until a validation loss is found, of several programs or configurations in turns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench/loss_result.h"
#include "virgil/base/logging.h"
#include "virgil/config/program_flags.h"

namespace virgil::bench {

/// What is raced: a command that takes train's flags and leaves a run's folder as train does.
struct Entrant {
  std::string name;     // as given
  std::string command;  // for a POSIX shell, without the flags that all have in common
};

struct LossRace {
  LossTarget target;
  std::vector<Entrant> entrants;
  std::vector<std::int64_t> seeds;
  std::filesystem::path folder;  // of the runs
  std::string common_flags;      // that each command gets, for a shell
};

/// Its target's bytes_per_character is to be measured. `train`: the program's path. Throws UserError.
[[nodiscard]] LossRace make_loss_race(const ToolArguments& arguments, const CommandLine& line, const std::string& train);

/// Of the text that is held out. Throws UserError where the inputs are no text, Stopped.
[[nodiscard]] double measure_bytes_per_character(const TrainConfig& config, Logger& log);

struct RaceRun {
  std::int64_t seed = 0;
  std::string command;  // whole, for a shell
  std::filesystem::path folder;
  LossResult result;
};

/// Seed by seed, the entrants in turns, each second round backwards. A run that the same command has left finished in the
/// folder counts as it is; one that is not finished is made anew. Runs of each entrant, in the order of the seeds. Throws
/// UserError where a program fails, Stopped.
[[nodiscard]] std::vector<std::vector<RaceRun>> run_loss_race(const LossRace& race, Logger& log);

}  // namespace virgil::bench
