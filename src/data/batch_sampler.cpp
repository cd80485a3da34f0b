#include "virgil/data/batch_sampler.h"

#include <algorithm>
#include <limits>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"

namespace virgil {

BatchSampler::BatchSampler(std::span<const std::int32_t> tokens, std::int64_t block_size, std::uint64_t seed)
    : tokens_(tokens), block_size_(block_size), seed_(seed) {
  VIRGIL_CHECK(block_size > 0, "block_size is {}", block_size);
  const auto num_tokens = static_cast<std::int64_t>(tokens.size());
  if (num_tokens > block_size) return;
  if (num_tokens < 2) throw user_error("the data has {} tokens; training needs at least 2: give a longer text", num_tokens);
  throw user_error(
      "the data has {} tokens, but a sequence needs block_size + 1 = {}; set \"block_size\": {} or less, or give a "
      "longer text",
      num_tokens, block_size + 1, num_tokens - 1);
}

void BatchSampler::fill(std::int64_t step, std::int64_t first_sequence, std::span<std::int32_t> inputs,
                        std::span<std::int32_t> targets) const {
  const auto block = static_cast<std::size_t>(block_size_);
  VIRGIL_CHECK(inputs.size() == targets.size() && inputs.size() % block == 0, "{} inputs, {} targets, block_size {}",
               inputs.size(), targets.size(), block_size_);
  VIRGIL_CHECK(step >= 0 && step <= std::numeric_limits<std::uint32_t>::max() && first_sequence >= 0,
               "step {}, first_sequence {}", step, first_sequence);
  const RandomStream stream{seed_, RandomPurpose::kBatch, 0, static_cast<std::uint32_t>(step)};
  const std::uint64_t num_starts = tokens_.size() - block;
  for (std::size_t row = 0; row < inputs.size() / block; ++row) {
    const std::size_t start = random_below(stream, static_cast<std::uint64_t>(first_sequence) + row, num_starts);
    const auto window = tokens_.subspan(start, block + 1);
    std::copy_n(window.begin(), block, inputs.subspan(row * block).begin());
    std::copy_n(window.begin() + 1, block, targets.subspan(row * block).begin());
  }
}

}  // namespace virgil
