// Batch and learning rate for a model and a number of tokens.
#pragma once

#include <cstdint>

namespace virgil {

struct Recipe {
  std::int64_t tokens_per_step = 0;  // a whole number of sequences
  double learning_rate = 0;          // the highest; the schedule ends at min_lr
  double min_lr = 0;
  double beta2 = 0;
};

/// The "Step Law" of Li et al. 2025: a batch of 0.58 D^0.571 tokens and a rate of 1.79 N^-0.713 D^0.307 that falls to 1e-5, N
/// without embeddings. Both are kept to what has been tried: a rate of at most 3e-3, and from 1,024 tokens to 4M a step.
/// Requires positive numbers.
[[nodiscard]] Recipe recommend_recipe(double block_parameters, double tokens, std::int64_t block_size);

}  // namespace virgil
