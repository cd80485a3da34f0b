// What an op moves if each operand goes through memory once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// Bytes of all operands that are present; those that are updated count twice. Of each operand at most `most_elements` are
/// touched.
template <typename Op>
[[nodiscard]] double operand_bytes(const Op& op, std::int64_t most_elements = std::numeric_limits<std::int64_t>::max()) {
  double bytes = 0;
  Op::operands(op, [&](std::string_view /*name*/, const ConstTensorView& view, Access access) {
    if (!view.present()) return;
    const std::int64_t elements = std::min(view.num_elements(), most_elements);
    bytes += static_cast<double>(elements * size_of(view.dtype())) * (access == Access::kUpdate ? 2 : 1);
  });
  return bytes;
}

}  // namespace virgil::ops
