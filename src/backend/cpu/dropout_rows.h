// Where the rows of a (B, T, C) tensor start in the numbering of dropout (see dropout.h).
#pragma once

#include <cstdint>

#include "virgil/base/shape.h"
#include "virgil/ops/dropout.h"

namespace virgil::cpu {

class DropoutRows {
 public:
  DropoutRows(const Dropout& dropout, std::int64_t length, std::int64_t channels)
      : first_row_(checked_multiply(dropout.first_sequence, length)), stride_(round_up(channels, 4)) {}
  /// Number of channel 0 of row b * T + t.
  [[nodiscard]] std::uint64_t base(std::int64_t row) const {
    return static_cast<std::uint64_t>(first_row_ + row) * static_cast<std::uint64_t>(stride_);
  }

 private:
  std::int64_t first_row_;
  std::int64_t stride_;
};

}  // namespace virgil::cpu
