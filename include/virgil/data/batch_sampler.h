// Which windows of the token stream a step trains on: a pure function of (seed, step, sequence number).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "virgil/data/token_sequence.h"

namespace virgil {

/// Passes over the data instead of random windows (`sampling: epoch`).
struct EpochSampling {
  std::int64_t sequences_per_step = 0;  // the global batch: batch_size * grad_accum_steps over all processes
};

/// Draws windows of block_size + 1 tokens, either at random offsets, or in passes: a pass visits every window of a tiling of
/// the data once, in an order of its own. Passes start at offsets of their own within what the tiling leaves over, so no token
/// is left out for good.
class BatchSampler {
 public:
  /// Throws UserError when there are fewer than block_size + 1 tokens, saying how many there are and which block_size fits.
  BatchSampler(TokenSequence tokens, std::int64_t block_size, std::uint64_t seed,
               std::optional<EpochSampling> epochs = std::nullopt);

  /// Fills inputs and targets, each (num_sequences, block_size), with sequences first_sequence .. of step `step`; targets are
  /// the inputs shifted by one. The same (step, sequence) gives the same window however a step is split.
  void fill(std::int64_t step, std::int64_t first_sequence, std::span<std::int32_t> inputs,
            std::span<std::int32_t> targets) const;

  /// Windows in one pass: (tokens - 1) / block_size.
  [[nodiscard]] std::int64_t windows_per_pass() const;

 private:
  [[nodiscard]] std::uint64_t window_start(std::int64_t step, std::int64_t sequence) const;

  TokenSequence tokens_;
  std::int64_t block_size_;
  std::uint64_t seed_;
  std::optional<EpochSampling> epochs_;
};

}  // namespace virgil
