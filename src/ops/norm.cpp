#include "virgil/ops/norm.h"

#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

/// RMSNorm has none.
void expect_no_bias_without_mean(std::string_view op, std::string_view operand, bool has_mean, const ConstTensorView& bias) {
  VIRGIL_CHECK(has_mean || !bias.present(), "{}: {} is given, and mean is not", op, operand);
}

}  // namespace

RowSizes NormForward::check() const {
  const RowSizes sizes = expect_rows(kName, "inp", inp);
  expect(kName, "out", out, inp.shape(), sizes.dtype);
  if (mean.present()) expect_count(kName, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, sizes.rows, DType::kFloat32);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kName, "bias", bias, {sizes.channels}, sizes.dtype);
  expect_no_bias_without_mean(kName, "bias", mean.present(), bias);
  return sizes;
}

SequenceSizes ResidualNormForward::check() const {
  const SequenceSizes sizes = expect_sequence(kName, "residual", residual);
  const std::int64_t rows = checked_multiply(sizes.batch, sizes.length);
  expect(kName, "residual_out", residual_out, residual.shape(), sizes.dtype);
  expect(kName, "out", out, residual.shape(), sizes.dtype);
  expect(kName, "branch", branch, residual.shape(), sizes.dtype);
  if (mean.present()) expect_count(kName, "mean", mean, rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, rows, DType::kFloat32);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kName, "bias", bias, {sizes.channels}, sizes.dtype);
  expect_dropout(kName, dropout);
  expect_no_bias_without_mean(kName, "bias", mean.present(), bias);
  return sizes;
}

RowSizes NormBackward::check() const {
  const RowSizes sizes = expect_rows(kName, "inp", inp);
  expect(kName, "dinp", dinp, inp.shape(), sizes.dtype);
  expect(kName, "dout", dout, inp.shape(), sizes.dtype);
  expect(kName, "weight", weight, {sizes.channels}, sizes.dtype);
  expect(kName, "dweight", dweight, {sizes.channels}, DType::kFloat32);
  expect_optional(kName, "dbias", dbias, {sizes.channels}, DType::kFloat32);
  if (mean.present()) expect_count(kName, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kName, "rstd", rstd, sizes.rows, DType::kFloat32);
  expect_no_bias_without_mean(kName, "dbias", mean.present(), dbias);
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
