#include "virgil/ops/glu.h"

#include <cstdint>

#include "virgil/ops/expectations.h"

namespace virgil::ops {

std::int64_t GluForward::check() const {
  expect_float(kName, "gate", gate);
  expect(kName, "out", out, gate.shape(), gate.dtype());
  expect(kName, "up", up, gate.shape(), gate.dtype());
  return gate.num_elements();
}

std::int64_t GluBackward::check() const {
  expect_float(kName, "gate", gate);
  expect(kName, "dgate", dgate, gate.shape(), gate.dtype());
  expect(kName, "dup", dup, gate.shape(), gate.dtype());
  expect(kName, "dout", dout, gate.shape(), gate.dtype());
  expect(kName, "up", up, gate.shape(), gate.dtype());
  return gate.num_elements();
}

}  // namespace virgil::ops
