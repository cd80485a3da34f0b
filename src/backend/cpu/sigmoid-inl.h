// GELU and SiLU, by one sigmoid. Per target: to be included behind simd-inl.h.
//
// GELU in its tanh form: with u = sqrt(2/pi) (x + 0.044715 x^3), 0.5 (1 + tanh u) = 1 / (1 + e^-2u) = s, so gelu(x) = x s: no
// tanh, and no cancellation where tanh u is near -1. SiLU is x s too, with 2u = x.
#if defined(VIRGIL_CPU_SIGMOID_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_CPU_SIGMOID_INL_H
#undef VIRGIL_CPU_SIGMOID_INL_H
#else
#define VIRGIL_CPU_SIGMOID_INL_H
#endif

#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

inline constexpr float kTwoSqrtTwoOverPi = 1.59576912F;
inline constexpr float kGeluCubic = 0.044715F;

struct Sigmoid {
  FloatVector s;  // 1 / (1 + e)
  FloatVector e;  // e^-2u
};

/// Of -2u.
HWY_INLINE Sigmoid sigmoid_of(FloatVector exponent) {
  const FloatTag d;
  const FloatVector limit = hn::Set(d, 87.0F);
  const FloatVector e = exp_up_to_88(hn::Min(exponent, limit));
  const FloatVector s = hn::Div(hn::Set(d, 1.0F), hn::Add(hn::Set(d, 1.0F), e));
  return {hn::IfThenZeroElse(hn::Gt(exponent, limit), s), e};
}

struct Activation {
  FloatVector value;
  FloatVector slope;
};

struct Gelu {
  static HWY_INLINE FloatVector value(FloatVector x) { return hn::Mul(x, sigmoid(x, hn::Mul(x, x)).s); }

  static HWY_INLINE Activation value_and_slope(FloatVector x) {
    const FloatTag d;
    // A square that overflowed would give 0 * infinity below; from 1e4 on the slope is exactly 0 or 1.
    const FloatVector x_squared = hn::Min(hn::Mul(x, x), hn::Set(d, 1e4F));
    const Sigmoid found = sigmoid(x, x_squared);
    const FloatVector two_du =
        hn::MulAdd(x_squared, hn::Set(d, 3 * kGeluCubic * kTwoSqrtTwoOverPi), hn::Set(d, kTwoSqrtTwoOverPi));
    const FloatVector ds = hn::Mul(hn::Mul(found.s, hn::Mul(found.e, found.s)), two_du);  // s (1 - s) 2u'
    return {hn::Mul(x, found.s), hn::MulAdd(x, ds, found.s)};
  }

 private:
  static HWY_INLINE Sigmoid sigmoid(FloatVector x, FloatVector x_squared) {
    const FloatTag d;
    const FloatVector cubic =
        hn::MulAdd(x_squared, hn::Set(d, -kTwoSqrtTwoOverPi * kGeluCubic), hn::Set(d, -kTwoSqrtTwoOverPi));
    return sigmoid_of(hn::Mul(x, cubic));
  }
};

/// Elfwing, Uchibe, Doya 2017.
struct Silu {
  static HWY_INLINE FloatVector value(FloatVector x) { return hn::Mul(x, sigmoid_of(hn::Neg(x)).s); }

  static HWY_INLINE Activation value_and_slope(FloatVector x) {
    const FloatTag d;
    const Sigmoid found = sigmoid_of(hn::Neg(x));
    const FloatVector ds = hn::Mul(found.s, hn::Mul(found.e, found.s));  // s (1 - s)
    // Where s is 0 or 1 an infinite x would give 0 * infinity.
    return {hn::Mul(x, found.s), hn::IfThenElse(hn::Eq(ds, hn::Zero(d)), found.s, hn::MulAdd(x, ds, found.s))};
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
