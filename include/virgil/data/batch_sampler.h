// Which windows of the token stream a step trains on: a pure function of (seed, step, sequence number).
#pragma once

#include <cstdint>
#include <span>

namespace virgil {

/// Draws windows of block_size + 1 tokens at random offsets. Holds a view of the tokens, which must outlive it.
class BatchSampler {
 public:
  /// Throws UserError when there are fewer than block_size + 1 tokens, saying how many there are and which block_size fits.
  BatchSampler(std::span<const std::int32_t> tokens, std::int64_t block_size, std::uint64_t seed);

  /// Fills inputs and targets, each (num_sequences, block_size), with sequences first_sequence .. of step `step`; targets are
  /// the inputs shifted by one. The same (step, sequence) gives the same window however a step is split.
  void fill(std::int64_t step, std::int64_t first_sequence, std::span<std::int32_t> inputs,
            std::span<std::int32_t> targets) const;

 private:
  std::span<const std::int32_t> tokens_;
  std::int64_t block_size_;
  std::uint64_t seed_;
};

}  // namespace virgil
