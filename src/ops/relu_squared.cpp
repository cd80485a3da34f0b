#include "virgil/ops/relu_squared.h"

#include <cstdint>

#include "virgil/ops/expectations.h"

namespace virgil::ops {

std::int64_t ReluSquaredForward::check() const {
  expect_float(kName, "inp", inp);
  expect(kName, "out", out, inp.shape(), inp.dtype());
  return inp.num_elements();
}

std::int64_t ReluSquaredBackward::check() const {
  expect_float(kName, "inp", inp);
  expect(kName, "dinp", dinp, inp.shape(), inp.dtype());
  expect(kName, "dout", dout, inp.shape(), inp.dtype());
  return inp.num_elements();
}

}  // namespace virgil::ops
