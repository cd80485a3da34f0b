#include "virgil/ops/matmul.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "ops/operand_bytes.h"
#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil {

std::string MatmulShape::to_string() const {
  return fmt::format("m={} n={} k={}{}{}{}", m, n, k, options.transpose_a ? " a'" : "", options.transpose_b ? " b'" : "",
                     options.accumulate ? " +=" : "");
}

namespace ops {

namespace {

double product_flops(const MatmulShape& s) {
  return 2 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
}

}  // namespace

MatmulShape Matmul::check() const {
  const RowSizes out_sizes = expect_rows(kName, "out", out);
  const RowSizes a_sizes = expect_rows(kName, "a", a);
  const RowSizes b_sizes = expect_rows(kName, "b", b);
  MatmulShape shape{.m = options.transpose_a ? a_sizes.channels : a_sizes.rows,
                    .n = options.transpose_b ? b_sizes.rows : b_sizes.channels,
                    .k = options.transpose_a ? a_sizes.rows : a_sizes.channels,
                    .dtype = a_sizes.dtype,
                    .out_dtype = out_sizes.dtype,
                    .has_bias = bias.present(),
                    .options = options};
  const std::int64_t b_inner = options.transpose_b ? b_sizes.channels : b_sizes.rows;
  VIRGIL_CHECK(b_inner == shape.k && out_sizes.rows == shape.m && out_sizes.channels == shape.n,
               "matmul: out {}, a {}{} and b {}{} do not agree", out.shape().to_string(), a.shape().to_string(),
               options.transpose_a ? " transposed" : "", b.shape().to_string(), options.transpose_b ? " transposed" : "");
  VIRGIL_CHECK(b_sizes.dtype == shape.dtype, "matmul: a is {}, b is {}", name_of(shape.dtype), name_of(b_sizes.dtype));
  VIRGIL_CHECK(out_sizes.dtype == shape.dtype || out_sizes.dtype == DType::kFloat32, "matmul: out is {}, a and b are {}",
               name_of(out_sizes.dtype), name_of(shape.dtype));
  expect_optional(kName, "bias", bias, {shape.n}, shape.dtype);
  VIRGIL_CHECK(!(shape.has_bias && options.accumulate), "matmul: bias and accumulate exclude each other");
  return shape;
}

Cost Matmul::cost() const { return {product_flops(check()), operand_bytes(*this)}; }

MatmulShape MatmulGeluBackward::check() const {
  const RowSizes out_sizes = expect_rows(kName, "dout", dout);
  const RowSizes sizes = expect_rows(kName, "hidden", hidden);
  VIRGIL_CHECK(out_sizes.rows == sizes.rows && out_sizes.dtype == sizes.dtype, "{}: dout is {} of {}, hidden {} of {}", kName,
               dout.shape().to_string(), name_of(out_sizes.dtype), hidden.shape().to_string(), name_of(sizes.dtype));
  expect(kName, "dinp", dinp, hidden.shape(), sizes.dtype);
  expect(kName, "weight", weight, {sizes.channels, out_sizes.channels}, sizes.dtype);
  return {.m = sizes.rows,
          .n = sizes.channels,
          .k = out_sizes.channels,
          .dtype = sizes.dtype,
          .out_dtype = sizes.dtype,
          .has_bias = false,
          .options = {.transpose_b = true}};
}

Cost MatmulGeluBackward::cost() const { return {product_flops(check()), operand_bytes(*this)}; }

RowSizes BiasBackward::check() const {
  const RowSizes sizes = expect_rows(kName, "dout", dout);
  expect(kName, "dbias", dbias, {sizes.channels}, DType::kFloat32);
  return sizes;
}

}  // namespace ops

}  // namespace virgil
