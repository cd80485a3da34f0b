// Argument checks that every backend runs at the entry of every op. They throw InternalError naming the op and the operand.
#pragma once

#include <initializer_list>
#include <string_view>

#include "virgil/backend/backend.h"

namespace virgil::op_checks {

/// `view` is present, has this shape and this dtype.
void expect(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape, DType dtype);
/// As expect, or absent.
void expect_optional(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape,
                     DType dtype);
/// Sizes of a matmul, checked for agreement of all operands.
[[nodiscard]] MatmulShape matmul(const ConstTensorView& out, const ConstTensorView& a, const ConstTensorView& b,
                                 const ConstTensorView& bias, const MatmulOptions& options);
/// Sizes of attention from qkv (B, T, 3C); checks head count, head size (multiple of 8 up to 128) and dropout range.
[[nodiscard]] AttentionShape attention(std::string_view op, const ConstTensorView& qkv, std::int64_t num_heads,
                                       const Dropout& dropout);

}  // namespace virgil::op_checks
