// CUDA's float16 for the simulator: storage and conversions. Arithmetic is left out on purpose: kernels compute in float.
#pragma once

#include <bit>
#include <cstdint>

#include "virgil/base/bfloat16.h"

struct __half {
  std::uint16_t bits;
  __half() = default;
  __half(float value) : bits(virgil::Float16(value).bits) {}  // NOLINT: implicit in CUDA
};
struct alignas(4) __half2 {
  __half x, y;
};

inline float __half2float(__half value) {
  virgil::Float16 stored;
  stored.bits = value.bits;
  return static_cast<float>(stored);
}
inline __half __float2half(float value) { return {value}; }
inline __half __float2half_rn(float value) { return {value}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return std::bit_cast<__half>(bits); }
