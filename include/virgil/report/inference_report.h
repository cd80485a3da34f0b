// What calc_params says of generating: memory, speed, and what fits.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/plan/catalogue.h"
#include "virgil/plan/generation_estimate.h"
#include "virgil/plan/run_plan.h"
#include "virgil/plan/training_plan.h"
#include "virgil/report/subject.h"

namespace virgil {

/// As many sequences as the command's batch_size, else one; the context is the model's.
[[nodiscard]] GenerationShape generation_shape(const Subject& subject);

/// Weights, cache and activations beside the rule of thumb, Virgil's own plan where it has one, and on a GPU the speed that its
/// bandwidth and rate allow. `gpu` may be null.
[[nodiscard]] std::string describe_inference(const Subject& subject, const PlannedSubject& planned, const GpuModel* gpu);
[[nodiscard]] nlohmann::ordered_json inference_json(const Subject& subject, const GpuModel* gpu);

/// Whether a model can generate, with weights of a type.
struct InferenceFit {
  std::string name;  // of the model
  WeightType weights;
  std::int64_t parameters = 0;
  std::int64_t total_bytes = 0;
  Verdict verdict = Verdict::kNo;
};
/// One for each type.
[[nodiscard]] std::vector<InferenceFit> fit_inference(const Architecture& spec, const GenerationShape& shape,
                                                      const MemoryBudget& budget);
/// Every published model with weights of that type, largest first, each with its own context or the shape's where that is
/// shorter.
[[nodiscard]] std::vector<InferenceFit> fit_published_models(const WeightType& type, const GenerationShape& shape,
                                                             const MemoryBudget& budget);

/// The answer to --weights TYPE: whether the subject fits, or where the command names no model which published ones do.
/// `fits` says whether it does, or any.
struct WeightsAnswer {
  std::string text;
  bool fits = false;
};
[[nodiscard]] WeightsAnswer answer_weights(const WeightType& type, const Subject* subject, const GenerationShape& shape,
                                           const MemoryBudget& budget, const GpuModel* gpu);
[[nodiscard]] nlohmann::ordered_json weights_json(const WeightType& type, const Subject* subject, const GenerationShape& shape,
                                                  const MemoryBudget& budget);

}  // namespace virgil
