// bench --scaling: tokens per second on many GPUs, on paper (virgil/plan/scaling.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "virgil/plan/scaling.h"
#include "virgil/report/tool_arguments.h"
#include "virgil/train/config_schema.h"

namespace virgil::bench {

/// One model on every cluster.
struct ScalingTable {
  std::string name = {};
  TrainingShape shape = {};
  double micro_step_s = 0;
  std::string micro_step_source = {};
  std::vector<Cluster> clusters = {};
  std::vector<std::vector<ScalingPoint>> points = {};  // by cluster, then by number of GPUs
};

/// The model of the command line where it names or describes one, else every preset. Throws UserError: an unknown --gpu, an
/// --mfu that is no percentage, --step_ms for several models.
[[nodiscard]] std::vector<ScalingTable> predict_tables(const ToolArguments& arguments, const CommandLine& command_line);

[[nodiscard]] std::string text_report(const std::vector<ScalingTable>& tables);
/// A list of one object a model.
[[nodiscard]] std::string json_report(const std::vector<ScalingTable>& tables);

}  // namespace virgil::bench
