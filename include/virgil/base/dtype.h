// Element types of tensors.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/base/bfloat16.h"

namespace virgil {

enum class DType : std::uint8_t { kFloat32, kBFloat16, kFloat16, kInt32 };

/// Size of one element in bytes.
[[nodiscard]] constexpr std::int64_t size_of(DType dtype) { return dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : 2; }

/// The name users type and read: float32, bfloat16, float16, int32.
[[nodiscard]] std::string_view name_of(DType dtype);

/// The DType of a C++ element type; a compile error for any other type.
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::kBFloat16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::kFloat16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kInt32;
};

}  // namespace virgil
