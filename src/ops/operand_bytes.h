// What an op moves if each operand goes through memory once.
#pragma once

#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// Bytes of all operands that are present; those that are updated count twice.
template <typename Op>
[[nodiscard]] double operand_bytes(const Op& op) {
  double bytes = 0;
  Op::operands(op, [&](std::string_view /*name*/, const ConstTensorView& view, Access access) {
    if (view.present()) bytes += static_cast<double>(view.size_bytes()) * (access == Access::kUpdate ? 2 : 1);
  });
  return bytes;
}

}  // namespace virgil::ops
