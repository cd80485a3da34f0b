// What `evaluate` tells of its measurement.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "virgil/data/dataset.h"
#include "virgil/generate/inference_model.h"
#include "virgil/train/evaluator.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// What was measured, on what, and the result. Holds references.
struct EvaluateReport {
  const InferenceModel& model;
  const std::vector<std::string>& inputs;  // as they were given
  const Dataset& data;                     // with its files
  const EvaluationOptions& options;
  const EvalMetrics& metrics;           // of all files as one text
  const std::vector<PartLoss>& losses;  // of each file; none where there is one only
};

/// One object, and a line end.
[[nodiscard]] std::string evaluate_json(const EvaluateReport& report);
/// Lines for a person: of several files, one for each before those of the whole.
[[nodiscard]] std::string evaluate_text(const EvaluateReport& report);

}  // namespace virgil
