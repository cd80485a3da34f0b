// Rows of scores, in units of ln 2, and powers of two of them.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_SOFTMAX_INL_H_
#undef VIRGIL_ATTENTION_SOFTMAX_INL_H_
#else
#define VIRGIL_ATTENTION_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "backend/cpu/attention_sizes.h"
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// 2^x to within 2 ulp for x below 127; 0 below -126, where the result would be subnormal; NaN for NaN.
/// Polynomial of Cephes exp2f (Moshier) on [-1/2, 1/2].
HWY_INLINE FloatVector exp2_up_to_127(FloatVector x) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  // Adding 1.5 * 2^23 rounds x to an integer and leaves it in the lowest bits of the sum.
  const FloatVector shift = hn::Set(d, 12582912.0F);
  const FloatVector shifted = hn::Add(x, shift);
  const FloatVector r = hn::Sub(x, hn::Sub(shifted, shift));
  FloatVector p = hn::Set(d, 1.535336188319500e-4F);
  for (const float coefficient : {1.339887440266574e-3F, 9.618437357674640e-3F, 5.550332471162809e-2F, 2.402264791363012e-1F,
                                  6.931472028550421e-1F, 1.0F}) {
    p = hn::MulAdd(p, r, hn::Set(d, coefficient));
  }
  const FloatVector power = hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0F)), power);
}

HWY_INLINE void scale_row(float* row, std::int64_t count, float factor) {
  const FloatTag d;
  const auto factors = hn::Set(d, factor);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < count; i += lanes) hn::Store(hn::Mul(hn::Load(d, row + i), factors), d, row + i);
}

/// Largest of the first `count` > 0 scores of a row of 64.
HWY_INLINE float max_of_row(const float* scores, std::int64_t count) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  FloatVector max = hn::Set(d, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) max = hn::Max(max, hn::Load(d, scores + i));
  if (i < count) {
    const auto valid = hn::FirstN(d, static_cast<std::size_t>(count - i));
    max = hn::IfThenElse(valid, hn::Max(max, hn::Load(d, scores + i)), max);
  }
  return hn::GetLane(hn::MaxOfLanes(d, max));
}

/// Replaces the first `count` scores of a row of 64 by 2^(score - max) and the others by 0; returns the sum.
HWY_INLINE float exponentiate_row(float* scores, std::int64_t count, float max) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto maxima = hn::Set(d, max);
  FloatVector sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FloatVector p = exp2_up_to_127(hn::Sub(hn::Load(d, scores + i), maxima));
    sum = hn::Add(sum, p);
    hn::Store(p, d, scores + i);
  }
  if (i < count) {
    const auto valid = hn::FirstN(d, static_cast<std::size_t>(count - i));
    const FloatVector p = hn::IfThenElseZero(valid, exp2_up_to_127(hn::Sub(hn::Load(d, scores + i), maxima)));
    sum = hn::Add(sum, p);
    hn::Store(p, d, scores + i);
    i += lanes;
  }
  for (; i < kAttentionBlock; i += lanes) hn::Store(hn::Zero(d), d, scores + i);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
