#include "backend/cpu/gelu.h"

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/gelu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

// With u = sqrt(2/pi) (x + 0.044715 x^3): 0.5 (1 + tanh u) = 1 / (1 + e^-2u) = s, so gelu(x) = x s: no tanh, and no
// cancellation where tanh u is near -1.
inline constexpr float kTwoSqrtTwoOverPi = 1.59576912F;
inline constexpr float kCubic = 0.044715F;

struct Sigmoid {
  FloatVector s;  // 1 / (1 + e)
  FloatVector e;  // e^-2u
};

HWY_INLINE Sigmoid gelu_sigmoid(FloatVector x, FloatVector x_squared) {
  const FloatTag d;
  const FloatVector cubic = hn::MulAdd(x_squared, hn::Set(d, -kTwoSqrtTwoOverPi * kCubic), hn::Set(d, -kTwoSqrtTwoOverPi));
  const FloatVector exponent = hn::Mul(x, cubic);
  const FloatVector limit = hn::Set(d, 87.0F);
  const FloatVector e = exp_up_to_88(hn::Min(exponent, limit));
  const FloatVector s = hn::Div(hn::Set(d, 1.0F), hn::Add(hn::Set(d, 1.0F), e));
  return {hn::IfThenZeroElse(hn::Gt(exponent, limit), s), e};
}

template <typename T>
HWY_INLINE void gelu_forward_range(T* out, const T* inp, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector x = part.load(inp + begin + i);
    part.store(hn::Mul(x, gelu_sigmoid(x, hn::Mul(x, x)).s), out + begin + i);
  });
}

template <typename T>
HWY_INLINE void gelu_backward_range(T* dinp, const T* dout, const T* inp, std::int64_t begin, std::int64_t end) {
  const FloatTag d;
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector x = part.load(inp + begin + i);
    // A square that overflowed would give 0 * infinity below; from 1e4 on the slope is exactly 0 or 1.
    const FloatVector x_squared = hn::Min(hn::Mul(x, x), hn::Set(d, 1e4F));
    const Sigmoid sigmoid = gelu_sigmoid(x, x_squared);
    const FloatVector two_du = hn::MulAdd(x_squared, hn::Set(d, 3 * kCubic * kTwoSqrtTwoOverPi), hn::Set(d, kTwoSqrtTwoOverPi));
    const FloatVector ds = hn::Mul(hn::Mul(sigmoid.s, hn::Mul(sigmoid.e, sigmoid.s)), two_du);  // s (1 - s) 2u'
    part.store(hn::Mul(part.load(dout + begin + i), hn::MulAdd(x, ds, sigmoid.s)), dinp + begin + i);
  });
}

HWY_ATTR void gelu_forward_range_float32(float* out, const float* inp, std::int64_t begin, std::int64_t end) {
  gelu_forward_range(out, inp, begin, end);
}
HWY_ATTR void gelu_forward_range_bfloat16(BFloat16* out, const BFloat16* inp, std::int64_t begin, std::int64_t end) {
  gelu_forward_range(out, inp, begin, end);
}
HWY_ATTR void gelu_backward_range_float32(float* dinp, const float* dout, const float* inp, std::int64_t begin,
                                          std::int64_t end) {
  gelu_backward_range(dinp, dout, inp, begin, end);
}
HWY_ATTR void gelu_backward_range_bfloat16(BFloat16* dinp, const BFloat16* dout, const BFloat16* inp, std::int64_t begin,
                                           std::int64_t end) {
  gelu_backward_range(dinp, dout, inp, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(gelu_forward_range);
VIRGIL_EXPORT_PAIR(gelu_backward_range);

void run(const ops::GeluForward& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.inp.dtype(), [&]<typename T>(T) {
    parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, gelu_forward_range)(op.out.as<T>(), op.inp.as<T>(), begin, end);
    });
  });
}

void run(const ops::GeluBackward& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.inp.dtype(), [&]<typename T>(T) {
    parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, gelu_backward_range)(op.dinp.as<T>(), op.dout.as<T>(), op.inp.as<T>(), begin, end);
    });
  });
}

}  // namespace virgil::cpu
#endif
