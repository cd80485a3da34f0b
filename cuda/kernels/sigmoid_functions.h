// GELU and SiLU with their slopes, by one sigmoid. Device code: `Function`s of activation.h and glu.cu.
//
// GELU in its tanh form: 0.5 (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3), is computed in the equal form 1 / (1 + e^-2u): it
// does not cancel for negative u and needs one exponential. The base change to 2^x is folded into the constants.
#pragma once

#include "cuda/device/ptx.h"

namespace virgil::cuda {

inline constexpr float kTwoSqrtTwoOverPi = 1.59576912F;
inline constexpr float kCubic = 0.044715F;
// -2u = x (kLinear2 + kCubic2 x^2) ln 2.
inline constexpr float kLinear2 = -2.30220819F;                   // -2 sqrt(2/pi) log2(e)
inline constexpr float kCubic2 = -0.102943240F;                   // 0.044715 times that
inline constexpr float kSlope0 = kTwoSqrtTwoOverPi;               // d(2u)/dx = kSlope0 + kSlope2 x^2
inline constexpr float kSlope2 = 3 * kCubic * kTwoSqrtTwoOverPi;  //
inline constexpr float kLog2E = 1.44269504F;
inline constexpr float kLargestExponent = 125.5F;  // above it 1 / (1 + 2^x) is taken for zero

/// 1 / y. The quick form is off by 2 ulp, which 16-bit results do not show.
template <typename T>
__device__ __forceinline__ float reciprocal(float y) {
  if constexpr (sizeof(T) == 2) {
    return __fdividef(1.0F, y);
  } else {
    return 1.0F / y;
  }
}

struct Gelu {
  template <typename T>
  __device__ __forceinline__ static float forward(float x) {
    const float e = ptx::exp2_approx(x * fmaf(x * x, kCubic2, kLinear2));
    return x * reciprocal<T>(1.0F + e);
  }

  template <typename T>
  __device__ __forceinline__ static float slope(float x) {
    // A square that overflowed would give 0 * infinity below; from 1e4 on the slope is exactly 0 or 1.
    const float x_squared = fminf(x * x, 1e4F);
    const float exponent = x * fmaf(x_squared, kCubic2, kLinear2);
    const float e = ptx::exp2_approx(fminf(exponent, kLargestExponent));
    const float s = exponent > kLargestExponent ? 0.0F : reciprocal<T>(1.0F + e);
    const float ds = s * (e * s) * fmaf(x_squared, kSlope2, kSlope0);  // s (1 - s) 2u'
    return fmaf(x, ds, s);
  }
};

/// Elfwing, Uchibe, Doya 2017: x / (1 + e^-x).
struct Silu {
  template <typename T>
  __device__ __forceinline__ static float forward(float x) {
    return x * reciprocal<T>(1.0F + ptx::exp2_approx(-x * kLog2E));
  }

  template <typename T>
  __device__ __forceinline__ static float slope(float x) {
    const float exponent = -x * kLog2E;
    const float e = ptx::exp2_approx(fminf(exponent, kLargestExponent));
    const float s = exponent > kLargestExponent ? 0.0F : reciprocal<T>(1.0F + e);
    const float ds = s * (e * s);            // s (1 - s)
    return ds == 0.0F ? s : fmaf(x, ds, s);  // an infinite x would give 0 * infinity
  }
};

}  // namespace virgil::cuda
