#include "virgil/ops/reductions.h"

#include <cstdint>

#include "virgil/ops/expectations.h"

namespace virgil::ops {

std::int64_t ReduceSum::check() const {
  expect_float(kName, "inp", inp);
  expect_count(kName, "out", out, 1, DType::kFloat32);
  return inp.num_elements();
}

std::int64_t L2Norm::check() const {
  expect_float(kName, "inp", inp);
  expect_count(kName, "out", out, 1, DType::kFloat32);
  return inp.num_elements();
}

}  // namespace virgil::ops
