#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <tuple>
#include <vector>

#include "plan/fitting.h"
#include "virgil/base/error.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/plan/training_plan.h"

namespace virgil {

namespace {

/// Largest values worth trying, the limits of the configuration keys.
constexpr std::int64_t kLargestBatch = 65536;
constexpr std::int64_t kLargestContext = 1 << 20;
constexpr std::int64_t kLargestLayers = 1024;
constexpr std::int64_t kLargestWidth = 65536;
constexpr std::int64_t kPositionStep = 64;
constexpr std::int64_t kHeadSize = 64;

std::int64_t largest_value(SolveVariable variable) {
  switch (variable) {
    case SolveVariable::kBatchSize:
      return kLargestBatch;
    case SolveVariable::kBlockSize:
      return kLargestContext;
    case SolveVariable::kNumLayers:
      return kLargestLayers;
    case SolveVariable::kEmbeddingDim:
      return kLargestWidth;
  }
  throw InternalError("unknown variable");
}

/// All heads query, and have a share of the width each.
void set_heads(Architecture& model, std::int64_t embedding_dim, std::int64_t num_heads) {
  model.embedding_dim = embedding_dim;
  model.num_heads = num_heads;
  model.num_kv_heads = 0;
  model.head_size = 0;
}

TrainingShape with_value(TrainingShape shape, SolveVariable variable, std::int64_t value) {
  Architecture& model = shape.model;
  switch (variable) {
    case SolveVariable::kBatchSize:
      shape.batch_size = value;
      break;
    case SolveVariable::kBlockSize:
      model.block_size = value;
      break;
    case SolveVariable::kNumLayers:
      model.num_layers = value;
      break;
    case SolveVariable::kEmbeddingDim:
      // The MLP keeps its share of the width.
      if (model.d_ff != 0) model.d_ff = std::max<std::int64_t>(1, model.d_ff * value / model.embedding_dim);
      set_heads(model, value, value / (model.embedding_dim / model.num_heads));
      break;
  }
  return shape;
}

std::int64_t count(const Architecture& sizes) { return count_parameters(trainable(sizes)).total; }

/// How far a model is from the size asked for, as a share of it.
double distance(const Architecture& sizes, std::int64_t num_parameters) {
  return std::abs(static_cast<double>(count(sizes) - num_parameters)) / static_cast<double>(num_parameters);
}

bool is_usual_shape(const Architecture& sizes) {
  const std::int64_t ratio = sizes.embedding_dim / sizes.num_layers;
  return ratio >= 32 && ratio <= 128;
}

}  // namespace

std::int64_t solve_step(const TrainingShape& shape, SolveVariable variable) {
  if (variable == SolveVariable::kBlockSize) return kPositionStep;
  if (variable == SolveVariable::kEmbeddingDim) return trainable(shape.model).head_size;
  return 1;
}

std::optional<TrainingShape> solve_largest(const TrainingShape& shape, SolveVariable variable, std::int64_t limit_bytes,
                                           const BackendTraits& traits) {
  const std::int64_t step = solve_step(shape, variable);
  const auto fits_at = [&](std::int64_t steps) { return fits(with_value(shape, variable, steps * step), limit_bytes, traits); };
  if (!fits_at(1)) return std::nullopt;
  const std::int64_t most = largest_value(variable) / step;
  std::int64_t good = 1;
  std::int64_t bad = 2;
  while (bad <= most && fits_at(bad)) {
    good = bad;
    bad *= 2;
  }
  bad = std::min(bad, most + 1);
  while (bad - good > 1) {
    const std::int64_t middle = good + (bad - good) / 2;
    (fits_at(middle) ? good : bad) = middle;
  }
  // Chunks of logits and the packing of the arena make a plan grow in small jumps, some of them down: look a little further.
  constexpr std::int64_t kLookahead = 4;
  for (std::int64_t ahead = good + 1; ahead <= std::min(good + kLookahead, most); ++ahead) {
    if (fits_at(ahead)) good = ahead;
  }
  return with_value(shape, variable, good * step);
}

std::vector<Architecture> models_of_size(std::int64_t num_parameters, const Architecture& like, std::size_t most) {
  std::vector<Architecture> candidates;
  for (std::int64_t width = kHeadSize; width <= kLargestWidth; width += kHeadSize) {
    Architecture sizes = like;
    set_heads(sizes, width, width / kHeadSize);
    sizes.d_ff = 0;
    sizes.num_layers = 1;
    const std::int64_t one = count(sizes);
    if (one > num_parameters + num_parameters / 2) break;  // embeddings alone are too much from here on
    sizes.num_layers = 2;
    const std::int64_t layer = count(sizes) - one;
    const double layers = 1 + static_cast<double>(num_parameters - one) / static_cast<double>(layer);
    sizes.num_layers = std::clamp<std::int64_t>(std::llround(layers), 1, kLargestLayers);
    candidates.push_back(sizes);
  }
  constexpr double kNear = 0.05;
  std::ranges::stable_sort(candidates, {}, [&](const Architecture& sizes) {
    const double far = distance(sizes, num_parameters);
    return std::tuple(!(is_usual_shape(sizes) && far < kNear), far);
  });
  if (candidates.size() > most) candidates.resize(most);
  return candidates;
}

}  // namespace virgil
