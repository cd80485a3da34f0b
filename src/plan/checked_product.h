// Products of several sizes.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "virgil/base/shape.h"

namespace virgil {

/// Throws as checked_multiply() does when it is out of range.
[[nodiscard]] inline std::int64_t checked_product(std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) result = checked_multiply(result, factor);
  return result;
}

}  // namespace virgil
