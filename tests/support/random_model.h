// Small models and batch shapes for property tests, a pure function of a seed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "virgil/base/philox.h"
#include "virgil/model/architecture.h"
#include "virgil/model/family.h"
#include "virgil/model/step_shape.h"

namespace virgil::test_support {

class RandomModel {
 public:
  explicit RandomModel(std::uint64_t seed) : stream_{seed, RandomPurpose::kShuffle, 0, 0} {
    const std::int64_t head_size = 8 * between(1, 16);
    sizes.num_heads = between(1, 4);
    sizes.embedding_dim = head_size * sizes.num_heads;
    sizes.num_layers = between(1, 6);
    sizes.block_size = between(1, 300);
    sizes.vocab_size = between(1, 3000);
    sizes.d_ff = between(0, 2) == 0 ? between(1, 700) : 0;
    sizes.biases = Biases::everywhere(between(0, 1) == 1);
    sizes.tie_weights = between(0, 1) == 1;
    sizes.dropout = between(0, 1) == 1 ? 0.1F : 0.0F;
    step.batch_size = between(1, 5);
    step.length = between(1, sizes.block_size);
    step.training = between(0, 3) != 0;
    step.dtype = between(0, 1) == 1 ? DType::kBFloat16 : DType::kFloat32;
    step.master_weights = between(0, 1) == 1;
    step.optimizer_state_dtype = between(0, 1) == 1 ? DType::kBFloat16 : DType::kFloat32;
    step.recompute = kAllRecompute[static_cast<std::size_t>(between(0, 3))];
    if (between(0, 2) == 0) become_llama(head_size);
  }

  /// Uniform in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_below(stream_, next_++, static_cast<std::uint64_t>(high - low + 1)));
  }

  Architecture sizes;
  StepShape step;

 private:
  void become_llama(std::int64_t head_size) {
    const Architecture plain = sizes;
    sizes = between(0, 1) == 0 ? kQwen2Family.usual() : kMistralFamily.usual();
    sizes.num_kv_heads = between(1, plain.num_heads);
    sizes.num_heads = sizes.num_kv_heads * between(1, 3);
    sizes.head_size = head_size;
    sizes.embedding_dim = 8 * between(1, 40);
    sizes.num_layers = plain.num_layers;
    sizes.block_size = plain.block_size;
    sizes.vocab_size = plain.vocab_size;
    sizes.d_ff = plain.d_ff;
    if (sizes.family == &kMistralFamily && between(0, 1) == 0) sizes.window = between(1, plain.block_size);
    sizes.tie_weights = plain.tie_weights;
    sizes.dropout = plain.dropout;
  }

  RandomStream stream_;
  std::uint64_t next_ = 0;
};

}  // namespace virgil::test_support
