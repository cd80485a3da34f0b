#include "virgil/ops/layernorm.h"

#include <cstdint>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

RowSizes LayernormForward::check() const {
  const RowSizes sizes = expect_rows(kName, "inp", inp);
  expect(kName, "out", out, inp.shape(), sizes.dtype);
  expect_count(kName, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, sizes.rows, DType::kFloat32);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kName, "bias", bias, {sizes.channels}, sizes.dtype);
  return sizes;
}

SequenceSizes ResidualLayernormForward::check() const {
  const SequenceSizes sizes = expect_sequence(kName, "residual", residual);
  const std::int64_t rows = checked_multiply(sizes.batch, sizes.length);
  expect(kName, "residual_out", residual_out, residual.shape(), sizes.dtype);
  expect(kName, "out", out, residual.shape(), sizes.dtype);
  expect(kName, "branch", branch, residual.shape(), sizes.dtype);
  expect_count(kName, "mean", mean, rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, rows, DType::kFloat32);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kName, "bias", bias, {sizes.channels}, sizes.dtype);
  expect_dropout(kName, dropout);
  return sizes;
}

RowSizes LayernormBackward::check() const {
  const RowSizes sizes = expect_rows(kName, "inp", inp);
  expect(kName, "dinp", dinp, inp.shape(), sizes.dtype);
  expect(kName, "dout", dout, inp.shape(), sizes.dtype);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect(kName, "dweight", dweight, {sizes.channels}, DType::kFloat32);
  expect_optional(kName, "dbias", dbias, {sizes.channels}, DType::kFloat32);
  expect_count(kName, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, sizes.rows, DType::kFloat32);
  return sizes;
}

SequenceSizes DropoutBackward::check() const {
  const SequenceSizes sizes = expect_sequence(kName, "dout", dout);
  expect(kName, "dinp", dinp, dout.shape(), sizes.dtype);
  expect_dropout(kName, dropout);
  VIRGIL_CHECK(dropout.enabled(), "{}: there is no dropout to go back through; skip the call", kName);
  return sizes;
}

}  // namespace virgil::ops
