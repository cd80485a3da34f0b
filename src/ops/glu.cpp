#include "virgil/ops/glu.h"

#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

/// `pairs` (..., 2 F) beside rows of F.
void expect_pairs(std::string_view op, std::string_view operand, const ConstTensorView& pairs, const RowSizes& sizes) {
  const RowSizes rows = expect_rows(op, operand, pairs);
  VIRGIL_CHECK(rows.rows == sizes.rows && rows.channels == checked_multiply(2, sizes.channels) && rows.dtype == sizes.dtype,
               "{}: {} is {}, beside {} rows of {}", op, operand, pairs.shape().to_string(), sizes.rows, sizes.channels);
}

}  // namespace

RowSizes GluForward::check() const {
  const RowSizes sizes = expect_rows(kName, "out", out);
  expect_pairs(kName, "inp", inp, sizes);
  return sizes;
}

RowSizes GluBackward::check() const {
  const RowSizes sizes = expect_rows(kName, "dout", dout);
  expect_pairs(kName, "inp", inp, sizes);
  expect(kName, "dinp", dinp, inp.shape(), sizes.dtype);
  return sizes;
}

}  // namespace virgil::ops
