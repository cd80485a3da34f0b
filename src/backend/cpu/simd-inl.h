// Loops over arrays of float or bfloat16 with vectors: whole vectors first, then one partial vector that touches nothing past
// the end. bfloat16 is widened to float when loaded and rounded to nearest, ties to even, when stored; all arithmetic is
// float's.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_SIMD_INL_H_
#undef VIRGIL_SIMD_INL_H_
#else
#define VIRGIL_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "virgil/base/bfloat16.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;
/// The bits of as many bfloat16 as a FloatVector has floats.
using HalfTag = hn::Rebind<std::uint16_t, FloatTag>;
using HalfVector = hn::Vec<HalfTag>;
/// A full vector of bfloat16 bits: two for each float.
using HalfPairTag = hn::Repartition<std::uint16_t, FloatTag>;

HWY_INLINE FloatVector widen(HalfVector bits) {
  const hn::RebindToUnsigned<FloatTag> du;
  return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

/// The bits of BFloat16(float).
HWY_INLINE HalfVector round_to_bfloat16(FloatVector v) {
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::RebindToSigned<FloatTag> di;
  const auto word = hn::BitCast(du, v);
  const auto is_odd = hn::And(hn::ShiftRight<16>(word), hn::Set(du, 1));
  const auto rounded = hn::Add(word, hn::Add(is_odd, hn::Set(du, 0x7FFF)));
  // Rounding a NaN's mantissa could carry it into infinity: keep it a quiet NaN.
  const auto quiet = hn::Or(word, hn::Set(du, 0x00400000));
  const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
  return hn::DemoteTo(HalfTag(), hn::BitCast(di, hn::ShiftRight<16>(result)));
}

/// How much of a vector lies inside the array. The two have the same members, so that one generic body serves both.
struct WholeVector {
  HWY_INLINE FloatVector load(const float* from) const { return hn::LoadU(FloatTag(), from); }
  HWY_INLINE FloatVector load(const BFloat16* from) const { return widen(hn::LoadU(HalfTag(), &from->bits)); }
  HWY_INLINE void store(FloatVector v, float* to) const { hn::StoreU(v, FloatTag(), to); }
  HWY_INLINE void store(FloatVector v, BFloat16* to) const { store_bits(round_to_bfloat16(v), to); }
  HWY_INLINE void store_bits(HalfVector bits, BFloat16* to) const { hn::StoreU(bits, HalfTag(), &to->bits); }
  /// v where the array has elements, `otherwise` elsewhere.
  HWY_INLINE FloatVector select(FloatVector v, FloatVector /*otherwise*/) const { return v; }
};

struct PartialVector {
  std::size_t count;  // elements in the array, fewer than a vector holds

  /// Zero past the end.
  HWY_INLINE FloatVector load(const float* from) const {
    const FloatTag d;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
    return hn::MaskedLoad(hn::FirstN(d, count), d, from);  // masked lanes are not read
#else
    HWY_ALIGN float lanes[hn::MaxLanes(d)] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i];
    return hn::Load(d, lanes);
#endif
  }
  HWY_INLINE FloatVector load(const BFloat16* from) const {
    const HalfTag d;
#if HWY_TARGET == HWY_AVX3
    return widen(hn::MaskedLoad(hn::FirstN(d, count), d, &from->bits));
#else
    HWY_ALIGN std::uint16_t lanes[hn::MaxLanes(d)] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i] = from[i].bits;
    return widen(hn::Load(d, lanes));
#endif
  }
  HWY_INLINE void store(FloatVector v, float* to) const {
    const FloatTag d;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
    hn::BlendedStore(v, hn::FirstN(d, count), d, to);  // masked lanes are not written
#else
    HWY_ALIGN float lanes[hn::MaxLanes(d)];
    hn::Store(v, d, lanes);
    for (std::size_t i = 0; i < count; ++i) to[i] = lanes[i];
#endif
  }
  HWY_INLINE void store(FloatVector v, BFloat16* to) const { store_bits(round_to_bfloat16(v), to); }
  HWY_INLINE void store_bits(HalfVector bits, BFloat16* to) const {
    const HalfTag d;
#if HWY_TARGET == HWY_AVX3
    hn::BlendedStore(bits, hn::FirstN(d, count), d, &to->bits);
#else
    HWY_ALIGN std::uint16_t lanes[hn::MaxLanes(d)];
    hn::Store(bits, d, lanes);
    for (std::size_t i = 0; i < count; ++i) to[i].bits = lanes[i];
#endif
  }
  HWY_INLINE FloatVector select(FloatVector v, FloatVector otherwise) const {
    return hn::IfThenElse(hn::FirstN(FloatTag(), count), v, otherwise);
  }
};

/// body(i, part) for i = 0, L, 2L, ... below n, L the lanes of a vector. Mark the body HWY_ATTR.
template <class Body>
HWY_INLINE void for_each_vector(std::size_t n, const Body& body) {
  const std::size_t lanes = hn::Lanes(FloatTag());
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) body(i, WholeVector{});
  if (i < n) body(i, PartialVector{n - i});
}

/// As for_each_vector, but body(i, part, k) is told k = 0..3 in turn: which of four accumulators to use. Independent
/// accumulators hide the latency of additions.
template <class Body>
HWY_INLINE void for_each_vector_by_four(std::size_t n, const Body& body) {
  const std::size_t lanes = hn::Lanes(FloatTag());
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    body(i, WholeVector{}, 0);
    body(i + lanes, WholeVector{}, 1);
    body(i + 2 * lanes, WholeVector{}, 2);
    body(i + 3 * lanes, WholeVector{}, 3);
  }
  for (; i + lanes <= n; i += lanes) body(i, WholeVector{}, 0);
  if (i < n) body(i, PartialVector{n - i}, 1);
}

/// Four accumulators for sums.
struct FourSums {
  FloatVector v[4];

  // Written out: g++ compiles a constructor that it generates itself without the target's instructions.
  HWY_INLINE FourSums() {
    for (FloatVector& sum : v) sum = hn::Zero(FloatTag());
  }
  [[nodiscard]] HWY_INLINE float total() const {
    return hn::GetLane(hn::SumOfLanes(FloatTag(), hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3]))));
  }
};

/// e^x to within 2 ulp for x up to 88; 0 below -87.3, where the result would be subnormal; NaN for NaN.
///
/// e^x = 2^n e^r with n = round(x / ln 2), r = x - n ln 2 (ln 2 in two parts: Cody, Waite 1980). e^r = 1 + r + r^2 q(r), q of
/// degree 4 with the least maximal relative error of e^r on |r| <= ln(2) / 2 (Remez's algorithm): 3.1e-9.
HWY_INLINE FloatVector exp_up_to_88(FloatVector x) {
  const FloatTag d;
  const hn::RebindToUnsigned<FloatTag> du;
  // Adding 1.5 * 2^23 rounds to an integer in the low bits; 127 more makes that integer the exponent field of 2^n.
  const FloatVector magic = hn::Set(d, 12582912.0F + 127.0F);
  const FloatVector shifted = hn::MulAdd(x, hn::Set(d, 1.44269504F), magic);
  const FloatVector n = hn::Sub(shifted, magic);
  const FloatVector two_to_n = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, shifted)));
  // n * 0.693359375 is exact: this part of ln 2 has 9 bits.
  FloatVector r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  FloatVector q = hn::Set(d, 1.38145840312e-3F);
  for (const float coefficient : {8.36872393598e-3F, 4.16683887296e-2F, 1.66665205736e-1F, 4.99999934439e-1F}) {
    q = hn::MulAdd(q, r, hn::Set(d, coefficient));
  }
  const FloatVector e_to_r = hn::Add(hn::MulAdd(q, hn::Mul(r, r), r), hn::Set(d, 1.0F));
  // A product, not an addition to the exponent bits: NaN stays NaN.
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3F)), hn::Mul(e_to_r, two_to_n));
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
