// Figures about any architecture that follow from its counts alone: bytes of weights, of inference, work, training time.
// What Virgil's own training and generation take is not estimated but planned: memory_plan.h, training_plan.h.
#pragma once

#include <cstdint>

#include "virgil/model/architecture.h"

namespace virgil {

/// Bytes of `num_parameters` values of `bits` bits, rounded up. Throws UserError on overflow.
[[nodiscard]] std::int64_t weight_bytes(std::int64_t num_parameters, int bits);

struct InferenceEstimate {
  std::int64_t weights = 0;        // bytes, all of them
  std::int64_t kv_cache = 0;       // keys and values of all positions of all sequences
  std::int64_t activations = 0;    // of the one token each sequence is at, logits in float32
  std::int64_t total = 0;          // their sum
  std::int64_t rule_of_thumb = 0;  // parameters * bytes * 1.2, which knows neither context nor heads
};
/// Generation token by token with weights, cache and activations of `bits` bits (16 or 32). Throws UserError on overflow.
[[nodiscard]] InferenceEstimate estimate_inference(const Architecture& spec, int bits, std::int64_t context,
                                                   std::int64_t num_sequences);

/// Bytes that stored attention matrices would add to training activations: L * B * NH * T^2 values of `bits` bits, once for the
/// scores and once for the probabilities. Virgil stores none. Throws UserError on overflow.
[[nodiscard]] std::int64_t attention_matrix_bytes(const Architecture& spec, std::int64_t batch_size, int bits);

/// Floating-point operations of a token.
struct FlopsPerToken {
  double parameters = 0;  // 6 N in training, N without what is only looked up: position embeddings, an untied token embedding
  double attention = 0;   // 6 L Q T in training, causal attention counted by half
  [[nodiscard]] double training() const { return parameters + attention; }
  [[nodiscard]] double inference() const { return training() / 3; }  // the backward pass is twice the forward pass
};
/// As Chowdhery et al. 2022 count. For Virgil's own models training() equals model_flops_per_token.
[[nodiscard]] FlopsPerToken count_flops(const Architecture& spec);

/// Floating-point operations a token costs in training: 6 N + 6 L C T (Chowdhery et al. 2022, with causal attention counted by
/// half), N without what is only looked up: position embeddings and a token embedding that is not tied to the head.
[[nodiscard]] double model_flops_per_token(const Architecture& model);

/// 20 tokens a parameter (Hoffmann et al. 2022).
inline constexpr std::int64_t kOptimalTokensPerParameter = 20;
/// Seconds that `tokens` tokens of training take at a sustained rate.
[[nodiscard]] double training_seconds(const FlopsPerToken& flops, double tokens, double tflops);

}  // namespace virgil
