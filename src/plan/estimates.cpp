#include "virgil/plan/estimates.h"

#include "plan/checked_product.h"
#include "virgil/base/shape.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/plan/parameter_count.h"

namespace virgil {

namespace {

constexpr int kBitsPerByte = 8;

}  // namespace

std::int64_t weight_bytes(std::int64_t num_parameters, int bits) {
  return ceil_div(checked_multiply(num_parameters, bits), kBitsPerByte);
}

InferenceEstimate estimate_inference(const Architecture& spec, int bits, std::int64_t context, std::int64_t num_sequences) {
  const std::int64_t bytes = bits / kBitsPerByte;
  const std::int64_t parameters = count_parameters(spec).total;
  InferenceEstimate estimate;
  estimate.weights = weight_bytes(parameters, bits);
  // Convolutions keep their inputs, as wide as the stream.
  const std::int64_t cached_width = spec.key_value_width() + (spec.conv_taps > 0 ? spec.embedding_dim : 0);
  estimate.kv_cache = checked_product({2, spec.num_layers, num_sequences, context, cached_width, bytes});
  // Residual, its sum with the attention branch, norm, branch; query, keys, values, attention's output; the MLP's inside.
  const std::int64_t mlp = is_gated(spec.mlp) ? 3 * spec.d_ff : 2 * spec.d_ff;
  const std::int64_t values = 4 * spec.embedding_dim + 2 * spec.query_width() + 2 * spec.key_value_width() + mlp;
  const std::int64_t logits = checked_product({num_sequences, spec.padded_vocab_size(), 4});
  estimate.activations = checked_add(checked_product({num_sequences, values, bytes}), logits);
  estimate.total = checked_add(estimate.weights, checked_add(estimate.kv_cache, estimate.activations));
  estimate.rule_of_thumb = checked_add(estimate.weights, estimate.weights / 5);
  return estimate;
}

std::int64_t attention_matrix_bytes(const Architecture& spec, std::int64_t batch_size, int bits) {
  return checked_product(
      {2, spec.num_layers, batch_size, spec.num_heads, spec.block_size, spec.block_size, bits / kBitsPerByte});
}

FlopsPerToken count_flops(const Architecture& spec) {
  const ParameterBreakdown breakdown = count_parameters(spec);
  // An embedding that is only looked up multiplies nothing; tied, it is the head.
  const std::int64_t looked_up = breakdown.position_embedding + (spec.tie_weights ? 0 : breakdown.token_embedding);
  const auto parameters = static_cast<double>(breakdown.total - looked_up);
  const double width = static_cast<double>(spec.num_layers) * static_cast<double>(spec.query_width());
  return {.parameters = 6 * parameters, .attention = 6 * width * static_cast<double>(spec.block_size)};
}

double training_seconds(const FlopsPerToken& flops, double tokens, double tflops) {
  return flops.training() * tokens / (tflops * 1e12);
}

double model_flops_per_token(const Architecture& model) {
  const std::int64_t C = model.embedding_dim;
  // An embedding that is only looked up multiplies nothing; tied, it is the head.
  const std::int64_t looked_up = model.block_size * C + (model.tie_weights ? 0 : model.padded_vocab_size() * C);
  const auto parameters = static_cast<double>(ParameterLayout(model).num_parameters() - looked_up);
  return 6 * parameters + 6 * static_cast<double>(model.num_layers * C * model.block_size);
}

}  // namespace virgil
