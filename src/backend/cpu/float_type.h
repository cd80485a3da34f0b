// From a tensor's dtype to the C++ type of its elements.
#pragma once

#include <string_view>

#include "virgil/base/bfloat16.h"
#include "virgil/ops/expectations.h"

namespace virgil::cpu {

/// Calls body with a value, of which only the type counts: float or BFloat16. Throws InternalError for another dtype.
template <typename Body>
void with_float_type(std::string_view op, DType dtype, const Body& body) {
  ops::expect_supported(op, dtype, {DType::kFloat32, DType::kBFloat16});
  if (dtype == DType::kBFloat16) {
    body(BFloat16{});
  } else {
    body(float{});
  }
}

/// Null for an absent operand.
template <typename T, typename View>
[[nodiscard]] auto* data_or_null(const View& view) {
  return view.present() ? view.template as<T>() : nullptr;
}

}  // namespace virgil::cpu
