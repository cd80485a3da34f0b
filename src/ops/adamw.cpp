#include "virgil/ops/adamw.h"

#include <cstdint>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

std::int64_t AdamWUpdate::check() const {
  const bool rounds_param = param.dtype() == DType::kBFloat16;
  expect_present(kName, "param", param, rounds_param ? DType::kBFloat16 : DType::kFloat32);
  const std::int64_t num_elements = param.num_elements();
  if (working.present()) {
    VIRGIL_CHECK(!rounds_param, "{}: working weights beside bfloat16 parameters", kName);
    const DType rounded = working.dtype() == DType::kFloat16 ? DType::kFloat16 : DType::kBFloat16;
    expect_count(kName, "working", working, num_elements, rounded);
  }
  const DType moments = m.dtype() == DType::kBFloat16 ? DType::kBFloat16 : DType::kFloat32;
  expect_count(kName, "m", m, num_elements, moments);
  expect_count(kName, "v", v, num_elements, moments);
  expect_count(kName, "grad", grad, num_elements, DType::kFloat32);
  expect_count(kName, "norm", norm, 1, DType::kFloat32);
  VIRGIL_CHECK(step.t >= 1, "{}: step {} is not positive", kName, step.t);
  VIRGIL_CHECK(step.first_index >= 0 && step.first_index % 4 == 0, "{}: first_index {} is not a multiple of 4", kName,
               step.first_index);
  return num_elements;
}

}  // namespace virgil::ops
