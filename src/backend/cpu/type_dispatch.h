// Functions of the vector sources come in pairs, NAME_float32 and NAME_bfloat16, each compiled once per target: Highway's
// tables of targets take no templates.
#pragma once

#include <type_traits>

#include "virgil/base/bfloat16.h"

namespace virgil::cpu {

/// `of_float32` when T is float, `of_bfloat16` when it is BFloat16.
template <typename T, typename OfFloat32, typename OfBFloat16>
[[nodiscard]] constexpr auto choose_by_type(OfFloat32 of_float32, OfBFloat16 of_bfloat16) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, BFloat16>);
  if constexpr (std::is_same_v<T, float>) {
    return of_float32;
  } else {
    return of_bfloat16;
  }
}

}  // namespace virgil::cpu

/// HWY_EXPORT of both functions of a pair.
#define VIRGIL_EXPORT_PAIR(NAME) \
  HWY_EXPORT(NAME##_float32);    \
  HWY_EXPORT(NAME##_bfloat16)
/// HWY_DYNAMIC_DISPATCH of the function of a pair that serves element type T.
#define VIRGIL_DISPATCH_PAIR(T, NAME) \
  ::virgil::cpu::choose_by_type<T>(HWY_DYNAMIC_DISPATCH(NAME##_float32), HWY_DYNAMIC_DISPATCH(NAME##_bfloat16))
