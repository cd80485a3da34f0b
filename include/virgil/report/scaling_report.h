// bench --scaling: tokens per second on many GPUs, on paper (virgil/plan/scaling.h).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "virgil/config/config_schema.h"
#include "virgil/config/program_flags.h"
#include "virgil/plan/scaling.h"

namespace virgil {

/// One model on every cluster.
struct ScalingTable {
  std::string name = {};
  TrainingShape shape = {};
  double micro_step_s = 0;
  bool step_is_given = false;  // by --step_ms; else assumed
  std::string micro_step_source = {};
  std::vector<Cluster> clusters = {};
  std::vector<std::vector<ScalingPoint>> points = {};  // by cluster, then by number of GPUs: 1, 2, 4 ... 1,024
};

/// --scaling and the flags that belong to it.
[[nodiscard]] std::span<const ToolFlag> scaling_flags();

/// The model that the command line names (--config) or describes (its sizes, or init_from), else every preset of the folder
/// with the command line's keys over its own. Throws UserError: flags that make no sense or exclude each other, --step_ms for
/// several models, keys that several processes cannot train with.
[[nodiscard]] std::vector<ScalingTable> predict_tables(const ToolArguments& arguments, const CommandLine& command_line,
                                                       const std::filesystem::path& presets_folder);

/// A table a model and, of several, the summary.
[[nodiscard]] std::string describe_scaling(const std::vector<ScalingTable>& tables);
/// A line a model: efficiencies, and where communication stops hiding.
[[nodiscard]] std::string summarize_scaling(const std::vector<ScalingTable>& tables);
/// A list of one object a model; see docs/distributed.md for its fields.
[[nodiscard]] std::string scaling_json(const std::vector<ScalingTable>& tables);

}  // namespace virgil
