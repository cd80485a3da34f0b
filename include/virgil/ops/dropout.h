// Dropout as a pure function: which elements are dropped follows from where they are, never from who computes them.
#pragma once

#include <cstdint>

#include "virgil/base/philox.h"

namespace virgil {

/// Where in a run's random numbers a pass stands: what all its dropouts have in common.
struct RandomPlace {
  std::uint32_t step = 0;           // RandomStream::step
  std::int64_t first_sequence = 0;  // Dropout::first_sequence
};

/// One dropout site of one step. Element `index` is kept when its Philox word is at least threshold(), and then scaled by
/// 1 / (1 - p). Elements are numbered by their place in the whole step, so that masks do not depend on how a step is split into
/// micro-batches or processes, nor on recomputation:
///   (B, T, C) tensors:    ((first_sequence + b) * T + t) * round_up(C, 4) + c
///   attention (B, NH, T, T): (((first_sequence + b) * NH + h) * T + query) * round_up(T, 4) + key
/// The strides are multiples of four so that each row starts a Philox block.
struct Dropout {
  float p = 0;
  RandomStream stream;
  std::int64_t first_sequence = 0;  // number within the step of the batch's sequence 0

  [[nodiscard]] bool enabled() const { return p > 0; }
  /// round(p * 2^32), saturated.
  [[nodiscard]] std::uint32_t threshold() const {
    const double scaled = static_cast<double>(p) * 4294967296.0 + 0.5;
    return scaled >= 4294967295.0 ? 0xFFFFFFFFU : static_cast<std::uint32_t>(scaled);
  }
  [[nodiscard]] float scale() const { return 1.0F / (1.0F - p); }
  /// 0 or scale(), for element `index`.
  [[nodiscard]] float multiplier(std::uint64_t index) const {
    return random_word(stream, index) >= threshold() ? scale() : 0.0F;
  }
};

}  // namespace virgil
