// Memory and speed of generating with any architecture, by the type of its weights: what follows from bytes and operations.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "virgil/model/architecture.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/estimates.h"

namespace virgil {

/// How weights are kept while a model generates. The scales of the quantized types are not counted.
struct WeightType {
  std::string_view name;  // "float32", "bfloat16", "int8", "int4"
  std::string_view label;
  int bits = 0;
  int compute_bits = 0;  // of cache and activations
};
inline constexpr std::array<WeightType, 4> kWeightTypes = {
    {{"float32", "FP32", 32, 32}, {"bfloat16", "FP16 / BF16", 16, 16}, {"int8", "INT8", 8, 16}, {"int4", "INT4", 4, 16}}};
/// Throws UserError naming the known ones, or the nearest.
[[nodiscard]] const WeightType& parse_weight_type(std::string_view name);

/// What is generated: so many sequences at once, each with so many positions in its cache.
struct GenerationShape {
  std::int64_t num_sequences = 1;
  std::int64_t context = 0;
};

/// As estimate_inference, with weights of that type.
[[nodiscard]] InferenceEstimate estimate_generation(const Architecture& spec, const WeightType& type,
                                                    const GenerationShape& shape);

/// What a machine reaches at best.
struct PeakRates {
  double flops_per_s = 0;  // of products in the type that is computed in
  double bytes_per_s = 0;  // of its memory
};

/// No program is faster on that machine.
struct GenerationSpeed {
  double prompt_s = 0;  // all sequences' prompts of the whole context: the time to the first token
  double token_s = 0;   // then one token of each sequence, at the full context

  [[nodiscard]] double tokens_per_s(const GenerationShape& shape) const {
    return static_cast<double>(shape.num_sequences) / token_s;
  }
};
/// The longer of reading bytes (weights once a pass, and a token's pass the cache) and of computing. Of a prompt only each
/// sequence's last token needs logits.
[[nodiscard]] GenerationSpeed bound_generation_speed(const Architecture& spec, const WeightType& type,
                                                     const GenerationShape& shape, const PeakRates& peak);
/// The same on a GPU of the catalogue.
[[nodiscard]] GenerationSpeed bound_generation_speed(const Architecture& spec, const WeightType& type,
                                                     const GenerationShape& shape, const GpuModel& gpu);

}  // namespace virgil
