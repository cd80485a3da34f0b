// What checks of ops and backends are made of. Each throws InternalError naming the op and the operand.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/dropout.h"
#include "virgil/ops/sizes.h"

namespace virgil::ops {

/// `view` is present and of this dtype.
void expect_present(std::string_view op, std::string_view operand, const ConstTensorView& view, DType dtype);
/// `view` is present and of any float type.
void expect_float(std::string_view op, std::string_view operand, const ConstTensorView& view);
/// `view` is present, has this shape and this dtype.
void expect(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape, DType dtype);
/// As expect, or absent.
void expect_optional(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape,
                     DType dtype);
/// `view` is present, has this many elements in any shape, and this dtype.
void expect_count(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t num_elements,
                  DType dtype);
/// `dtype` is one that this backend's op can compute in.
void expect_supported(std::string_view op, DType dtype, std::initializer_list<DType> supported);
/// The probability lies in [0, 1) and the first sequence is not negative.
void expect_dropout(std::string_view op, const Dropout& dropout);

/// Of a float tensor (B, T, C).
[[nodiscard]] SequenceSizes expect_sequence(std::string_view op, std::string_view operand, const ConstTensorView& view);
/// Of a float tensor (..., C).
[[nodiscard]] RowSizes expect_rows(std::string_view op, std::string_view operand, const ConstTensorView& view);

}  // namespace virgil::ops
