// What kind of numbers stored floats are, found in one pass over their bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "virgil/base/dtype.h"

namespace virgil {

struct ValueRange {
  std::int64_t num_values = 0;
  std::int64_t num_non_finite = 0;    // NaN and infinities
  std::int64_t first_non_finite = 0;  // its index; meaningless where there is none
  float max_magnitude = 0;            // of the finite values

  [[nodiscard]] bool is_finite() const { return num_non_finite == 0; }
};

/// Of float32, bfloat16 or float16 values, little-endian, at any alignment.
[[nodiscard]] ValueRange find_value_range(DType dtype, std::span<const std::byte> bytes);

/// The largest magnitude that rounds to a finite value of a float type.
[[nodiscard]] float largest_finite(DType dtype);

}  // namespace virgil
