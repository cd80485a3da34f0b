#include "virgil/data/batch_sampler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"
#include "virgil/data/index_permutation.h"

namespace virgil {

BatchSampler::BatchSampler(TokenSequence tokens, std::int64_t block_size, std::uint64_t seed,
                           std::optional<EpochSampling> epochs)
    : tokens_(std::move(tokens)), block_size_(block_size), seed_(seed), epochs_(epochs) {
  VIRGIL_CHECK(block_size > 0, "block_size is {}", block_size);
  VIRGIL_CHECK(!epochs || epochs->sequences_per_step > 0, "sequences_per_step is {}", epochs->sequences_per_step);
  const auto num_tokens = static_cast<std::int64_t>(tokens_.size());
  if (num_tokens > block_size) return;
  if (num_tokens < 2) throw user_error("the data has {} tokens; training needs at least 2: give a longer text", num_tokens);
  throw user_error(
      "the data has {} tokens, but a sequence needs block_size + 1 = {}; set \"block_size\": {} or less, or give a "
      "longer text",
      num_tokens, block_size + 1, num_tokens - 1);
}

std::int64_t BatchSampler::windows_per_pass() const { return (static_cast<std::int64_t>(tokens_.size()) - 1) / block_size_; }

std::uint64_t BatchSampler::window_start(std::int64_t step, std::int64_t sequence) const {
  const auto block = static_cast<std::uint64_t>(block_size_);
  if (!epochs_) {
    const RandomStream stream{seed_, RandomPurpose::kBatch, 0, static_cast<std::uint32_t>(step)};
    return random_below(stream, static_cast<std::uint64_t>(sequence), tokens_.size() - block);
  }
  const auto windows = static_cast<std::uint64_t>(windows_per_pass());
  const std::uint64_t number = static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(epochs_->sequences_per_step) +
                               static_cast<std::uint64_t>(sequence);
  const std::uint64_t pass = number / windows;
  const RandomStream stream{seed_, RandomPurpose::kBatch, 1, static_cast<std::uint32_t>(pass)};
  const std::uint64_t offset = random_below(stream, 0, tokens_.size() - windows * block);
  return offset + IndexPermutation(windows, seed_, pass)(number % windows) * block;
}

void BatchSampler::fill(std::int64_t step, std::int64_t first_sequence, std::span<std::int32_t> inputs,
                        std::span<std::int32_t> targets) const {
  const auto block = static_cast<std::size_t>(block_size_);
  VIRGIL_CHECK(inputs.size() == targets.size() && inputs.size() % block == 0, "{} inputs, {} targets, block_size {}",
               inputs.size(), targets.size(), block_size_);
  VIRGIL_CHECK(step >= 0 && step <= std::numeric_limits<std::uint32_t>::max() && first_sequence >= 0,
               "step {}, first_sequence {}", step, first_sequence);
  const auto num_rows = static_cast<std::int64_t>(inputs.size() / block);
  VIRGIL_CHECK(!epochs_ || first_sequence + num_rows <= epochs_->sequences_per_step, "sequences {} to {} of {}", first_sequence,
               first_sequence + num_rows, epochs_->sequences_per_step);
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const std::size_t start = window_start(step, first_sequence + row);
    const std::size_t at = static_cast<std::size_t>(row) * block;
    tokens_.copy(start, inputs.subspan(at, block));
    tokens_.copy(start + 1, targets.subspan(at, block));
  }
}

}  // namespace virgil
