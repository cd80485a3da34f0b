// From a tensor's dtype to the C++ type of its elements.
#pragma once

#include <string_view>

#include "virgil/backend/op_checks.h"
#include "virgil/base/bfloat16.h"

namespace virgil::cpu {

/// Calls body with a value, of which only the type counts: float or BFloat16. Throws InternalError for another dtype.
template <typename Body>
void with_float_type(std::string_view op, DType dtype, const Body& body) {
  op_checks::expect_supported(op, dtype, {DType::kFloat32, DType::kBFloat16});
  if (dtype == DType::kBFloat16) {
    body(BFloat16{});
  } else {
    body(float{});
  }
}

}  // namespace virgil::cpu
