#include "virgil/ops/muon.h"

#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

/// That `part` is so many columns of a `whole`.
MatrixColumns columns_of(std::string_view op, const ConstTensorView& whole, const ConstTensorView& part,
                         std::int64_t first_column) {
  VIRGIL_CHECK(whole.shape().rank() == 2 && part.shape().rank() == 2, "{}: {} and {} are no matrices", op,
               whole.shape().to_string(), part.shape().to_string());
  const MatrixColumns columns{.rows = part.shape()[0], .columns = part.shape()[1], .row_stride = whole.shape()[1]};
  VIRGIL_CHECK(whole.shape()[0] == columns.rows && first_column >= 0 && columns.columns <= columns.row_stride - first_column,
               "{}: {} are not columns {} and on of {}", op, part.shape().to_string(), first_column, whole.shape().to_string());
  return columns;
}

std::int64_t num_neurons(const Shape& shape, NeuronAxis axis) { return axis == NeuronAxis::kColumns ? shape[1] : shape[0]; }

}  // namespace

MatrixColumns MuonMomentum::check() const {
  expect_present(kName, "direction", direction, DType::kFloat32);
  expect_present(kName, "momentum", momentum, DType::kFloat32);
  expect(kName, "grad", grad, momentum.shape(), DType::kFloat32);
  expect_count(kName, "norm", norm, 1, DType::kFloat32);
  return columns_of(kName, momentum, direction, first_column);
}

std::int64_t ScaledSum::check() const {
  expect_float(kName, "out", out);
  const std::int64_t num_elements = out.num_elements();
  expect_count(kName, "x", x, num_elements, x.present() && x.dtype() == DType::kFloat32 ? DType::kFloat32 : out.dtype());
  if (y.present()) expect_count(kName, "y", y, num_elements, out.dtype());
  if (divisor.present()) expect_count(kName, "divisor", divisor, 1, DType::kFloat32);
  return num_elements;
}

MatrixColumns NeuronMoments::check() const {
  expect_present(kName, "v", v, DType::kFloat32);
  expect_float(kName, "direction", direction);
  expect_count(kName, "norm", norm, 1, DType::kFloat32);
  const Shape& shape = direction.shape();
  VIRGIL_CHECK(shape.rank() == 2, "{}: {} is no matrix", kName, shape.to_string());
  const std::int64_t neurons = num_neurons(shape, axis);
  expect_count(kName, "factors", factors, neurons, DType::kFloat32);
  VIRGIL_CHECK(first_neuron >= 0 && neurons <= v.num_elements() - first_neuron, "{}: neurons {} to {} of {}", kName,
               first_neuron, first_neuron + neurons, v.num_elements());
  return {.rows = shape[0], .columns = shape[1], .row_stride = shape[1]};
}

MatrixColumns MuonApply::check() const {
  expect_present(kName, "param", param, DType::kFloat32);
  expect_float(kName, "direction", direction);
  if (working.present()) {
    const DType rounded = working.dtype() == DType::kFloat16 ? DType::kFloat16 : DType::kBFloat16;
    expect(kName, "working", working, param.shape(), rounded);
  }
  expect_count(kName, "norm", norm, 1, DType::kFloat32);
  const MatrixColumns columns = columns_of(kName, param, direction, first_column);
  if (factors.present()) {
    expect_count(kName, "factors", factors, num_neurons(direction.shape(), axis), DType::kFloat32);
  }
  return columns;
}

}  // namespace virgil::ops
