#include "virgil/plan/generation_estimate.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/shape.h"
#include "virgil/plan/parameter_count.h"

namespace virgil {

const WeightType& parse_weight_type(std::string_view name) {
  const auto* const type = std::ranges::find(kWeightTypes, name, &WeightType::name);
  if (type != kWeightTypes.end()) return *type;
  throw user_error("\"{}\" is no type of weights; choose float32, bfloat16, int8 or int4", excerpt(std::string(name)));
}

InferenceEstimate estimate_generation(const Architecture& spec, const WeightType& type, const GenerationShape& shape) {
  InferenceEstimate estimate = estimate_inference(spec, type.compute_bits, shape.context, shape.num_sequences);
  estimate.weights = weight_bytes(count_parameters(spec).total, type.bits);
  estimate.total = checked_add(estimate.weights, checked_add(estimate.kv_cache, estimate.activations));
  estimate.rule_of_thumb = checked_add(estimate.weights, estimate.weights / 5);
  return estimate;
}

GenerationSpeed bound_generation_speed(const Architecture& spec, const WeightType& type, const GenerationShape& shape,
                                       const PeakRates& peak) {
  // Rows that are only looked up are not read as a whole.
  const ParameterBreakdown counts = count_parameters(spec);
  const std::int64_t looked_up = counts.position_embedding + (spec.tie_weights ? 0 : counts.token_embedding);
  const auto weights = static_cast<double>(weight_bytes(counts.total - looked_up, type.bits));
  const auto cache = static_cast<double>(estimate_generation(spec, type, shape).kv_cache);
  const auto sequences = static_cast<double>(shape.num_sequences);
  Architecture at_context = spec;
  at_context.block_size = shape.context;
  const FlopsPerToken flops = count_flops(at_context);
  // Over a prompt a token sees half of the context on average, the last one all of it.
  const double head_flops = 2 * static_cast<double>(spec.tie_weights ? counts.token_embedding : counts.head);
  const double prompt_flops =
      (flops.inference() - head_flops) * static_cast<double>(shape.context) * sequences + head_flops * sequences;
  const double token_flops = (flops.parameters + 2 * flops.attention) / 3 * sequences;
  return {.prompt_s = std::max(prompt_flops / peak.flops_per_s, weights / peak.bytes_per_s),
          .token_s = std::max(token_flops / peak.flops_per_s, (weights + cache) / peak.bytes_per_s)};
}

GenerationSpeed bound_generation_speed(const Architecture& spec, const WeightType& type, const GenerationShape& shape,
                                       const GpuModel& gpu) {
  // A GPU without products of 16 bits computes in float32.
  const double half_tflops = std::max(gpu.bfloat16_tflops, gpu.float16_tflops);
  const double tflops = type.compute_bits == 32 || half_tflops == 0 ? gpu.float32_tflops : half_tflops;
  return bound_generation_speed(spec, type, shape,
                                PeakRates{.flops_per_s = 1e12 * tflops, .bytes_per_s = 1e9 * gpu.bandwidth_gb_per_s});
}

}  // namespace virgil
