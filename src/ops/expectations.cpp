#include "virgil/ops/expectations.h"

#include <algorithm>
#include <string>

namespace virgil::ops {

void expect_present(std::string_view op, std::string_view operand, const ConstTensorView& view, DType dtype) {
  VIRGIL_CHECK(view.present(), "{}: {} is absent", op, operand);
  VIRGIL_CHECK(view.dtype() == dtype, "{}: {} is {}, expected {}", op, operand, name_of(view.dtype()), name_of(dtype));
}

void expect_float(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  VIRGIL_CHECK(view.present(), "{}: {} is absent", op, operand);
  VIRGIL_CHECK(view.dtype() != DType::kInt32, "{}: {} is int32, expected a float type", op, operand);
}

namespace {

void expect_rank(std::string_view op, std::string_view operand, const ConstTensorView& view, int rank) {
  VIRGIL_CHECK(view.shape().rank() == rank, "{}: {} has shape {}, expected {} dimensions", op, operand,
               view.shape().to_string(), rank);
}

}  // namespace

SequenceSizes expect_sequence(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  expect_float(op, operand, view);
  expect_rank(op, operand, view, 3);
  const Shape& shape = view.shape();
  return {shape[0], shape[1], shape[2], view.dtype()};
}

RowSizes expect_rows(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  expect_float(op, operand, view);
  VIRGIL_CHECK(view.shape().rank() >= 1, "{}: {} is a scalar, expected (..., C)", op, operand);
  return {view.shape().num_rows(), view.shape()[-1], view.dtype()};
}

void expect(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape, DType dtype) {
  expect_present(op, operand, view, dtype);
  VIRGIL_CHECK(view.shape() == shape, "{}: {} has shape {}, expected {}", op, operand, view.shape().to_string(),
               shape.to_string());
}

void expect_optional(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape,
                     DType dtype) {
  if (view.present()) expect(op, operand, view, shape, dtype);
}

void expect_count(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t num_elements,
                  DType dtype) {
  expect_present(op, operand, view, dtype);
  VIRGIL_CHECK(view.num_elements() == num_elements, "{}: {} has shape {}, expected {} elements", op, operand,
               view.shape().to_string(), num_elements);
}

void expect_supported(std::string_view op, DType dtype, std::initializer_list<DType> supported) {
  const bool found = std::find(supported.begin(), supported.end(), dtype) != supported.end();
  std::string names;
  for (const DType candidate : supported) {
    names += names.empty() ? "" : ", ";
    names += name_of(candidate);
  }
  VIRGIL_CHECK(found, "{}: this backend computes in {}, the tensors are {}", op, names, name_of(dtype));
}

void expect_dropout(std::string_view op, const Dropout& dropout) {
  VIRGIL_CHECK(dropout.p >= 0 && dropout.p < 1, "{}: dropout probability {} is outside [0, 1)", op, dropout.p);
  VIRGIL_CHECK(dropout.first_sequence >= 0, "{}: dropout's first sequence is {}", op, dropout.first_sequence);
}

}  // namespace virgil::ops
