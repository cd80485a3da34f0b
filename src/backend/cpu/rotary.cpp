#include "backend/cpu/rotary.h"

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/rotary.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_ROTARY_ONCE
#define VIRGIL_CPU_ROTARY_ONCE
namespace virgil::cpu {

template <typename Element>
struct Rotary {
  Element* out;  // may be inp
  const Element* inp;
  RotarySizes sizes;
  std::int64_t first_position;
  float direction;  // -1: back
  const RotaryAngles* angles;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

struct SineCosine {
  FloatVector sine;
  FloatVector cosine;
};

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
/// To within 2 ulp of 1, for |x| up to 6 million.
///
/// r = x - n pi / 2 with n = round(2 x / pi), pi / 2 in three parts (Cody, Waite 1980): the first product and difference are
/// exact. Polynomials of least error on |r| <= pi / 4 (Moshier, Cephes); n mod 4 tells which of them is which, and the signs.
HWY_INLINE SineCosine sine_cosine(FloatVector x) {
  const FloatTag d;
  const hn::RebindToSigned<FloatTag> di;
  const FloatVector n = hn::Round(hn::Mul(x, hn::Set(d, 0.636619772F)));
  FloatVector r = hn::NegMulAdd(n, hn::Set(d, 1.57079637F), x);
  r = hn::NegMulAdd(n, hn::Set(d, -4.37113883e-8F), r);
  r = hn::NegMulAdd(n, hn::Set(d, -1.71512451e-15F), r);
  const FloatVector r2 = hn::Mul(r, r);
  FloatVector s = hn::MulAdd(r2, hn::Set(d, -1.9515295891e-4F), hn::Set(d, 8.3321608736e-3F));
  s = hn::MulAdd(s, r2, hn::Set(d, -1.6666654611e-1F));
  s = hn::MulAdd(hn::Mul(s, r2), r, r);
  FloatVector c = hn::MulAdd(r2, hn::Set(d, 2.443315711809948e-5F), hn::Set(d, -1.388731625493765e-3F));
  c = hn::MulAdd(c, r2, hn::Set(d, 4.166664568298827e-2F));
  c = hn::MulAdd(c, hn::Mul(r2, r2), hn::MulAdd(r2, hn::Set(d, -0.5F), hn::Set(d, 1.0F)));
  const auto quadrant = hn::ConvertTo(di, n);
  const auto one = hn::Set(di, 1), two = hn::Set(di, 2);
  const auto odd = hn::RebindMask(d, hn::Eq(hn::And(quadrant, one), one));
  const auto sine_negative = hn::RebindMask(d, hn::Eq(hn::And(quadrant, two), two));
  const auto cosine_negative = hn::RebindMask(d, hn::Eq(hn::And(hn::Add(quadrant, one), two), two));
  const FloatVector sine = hn::IfThenElse(odd, c, s);
  const FloatVector cosine = hn::IfThenElse(odd, s, c);
  return {hn::IfThenElse(sine_negative, hn::Neg(sine), sine), hn::IfThenElse(cosine_negative, hn::Neg(cosine), cosine)};
}
#else
/// Without a fused product and sum the difference above would not be exact.
HWY_INLINE SineCosine sine_cosine(FloatVector x) {
  const FloatTag d;
  HWY_ALIGN float sines[hn::MaxLanes(d)];
  HWY_ALIGN float cosines[hn::MaxLanes(d)];
  hn::Store(x, d, sines);
  for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
    const auto angle = static_cast<double>(sines[i]);
    sines[i] = static_cast<float>(std::sin(angle));
    cosines[i] = static_cast<float>(std::cos(angle));
  }
  return {hn::Load(d, sines), hn::Load(d, cosines)};
}
#endif

/// What multiplies an element, and what the other one of its pair, to turn by one position's angles.
struct Turn {
  HWY_ALIGN float own[2 * kMaxRotaryPairs];
  HWY_ALIGN float other[2 * kMaxRotaryPairs];
};

HWY_INLINE void find_turn(const RotaryAngles& angles, std::int64_t position, float direction, Turn& turn) {
  const FloatTag d;
  const auto P = static_cast<std::size_t>(angles.pairs);
  HWY_ALIGN float sines[kMaxRotaryPairs];
  HWY_ALIGN float cosines[kMaxRotaryPairs];
  const FloatVector at = hn::Set(d, static_cast<float>(position));
  const FloatVector scale = hn::Set(d, angles.scale);
  for_each_vector(P, [&](std::size_t j, auto part) HWY_ATTR {
    const SineCosine found = sine_cosine(hn::Mul(at, part.load(angles.frequency + j)));
    part.store(hn::Mul(found.sine, hn::Mul(scale, hn::Set(d, direction))), sines + j);
    part.store(hn::Mul(found.cosine, scale), cosines + j);
  });
  const bool halves = angles.pairing == RotaryPairing::kHalves;
  for (std::size_t j = 0; j < P; ++j) {
    const std::size_t x = halves ? j : 2 * j, y = halves ? P + j : 2 * j + 1;
    turn.own[x] = turn.own[y] = cosines[j];
    turn.other[x] = -sines[j];
    turn.other[y] = sines[j];
  }
}

template <typename Element>
HWY_INLINE void turn_halves(const Turn& turn, std::size_t P, Element* out, const Element* inp) {
  for_each_vector(P, [&](std::size_t j, auto part) HWY_ATTR {
    const FloatVector x = part.load(inp + j), y = part.load(inp + P + j);
    const FloatVector cosine = part.load(turn.own + j), sine = part.load(turn.other + P + j);
    part.store(hn::NegMulAdd(y, sine, hn::Mul(x, cosine)), out + j);
    part.store(hn::MulAdd(x, sine, hn::Mul(y, cosine)), out + P + j);
  });
}

template <typename Element>
HWY_INLINE void turn_neighbours(const Turn& turn, std::size_t P, Element* out, const Element* inp) {
  const FloatTag d;
  if constexpr (hn::MaxLanes(d) == 1) {  // a vector holds no pair
    const WholeVector part;
    for (std::size_t i = 0; i < 2 * P; i += 2) {
      const FloatVector x = part.load(inp + i), y = part.load(inp + i + 1);
      const FloatVector cosine = part.load(turn.own + i), sine = part.load(turn.other + i + 1);
      part.store(hn::NegMulAdd(y, sine, hn::Mul(x, cosine)), out + i);
      part.store(hn::MulAdd(x, sine, hn::Mul(y, cosine)), out + i + 1);
    }
  } else {
    for_each_vector(2 * P, [&](std::size_t i, auto part) HWY_ATTR {
      const FloatVector x = part.load(inp + i);
      const FloatVector turned = hn::Mul(hn::Reverse2(FloatTag(), x), part.load(turn.other + i));
      part.store(hn::MulAdd(x, part.load(turn.own + i), turned), out + i);
    });
  }
}

/// Positions [first, last) of every sequence.
template <typename Element>
HWY_INLINE void rotary_positions(const Rotary<Element>& op, std::int64_t first, std::int64_t last) {
  const RotarySizes& sizes = op.sizes;
  const auto P = static_cast<std::size_t>(op.angles->pairs);
  const auto head_size = static_cast<std::size_t>(sizes.head_size);
  Turn turn;
  for (std::int64_t t = first; t < last; ++t) {
    find_turn(*op.angles, op.first_position + t, op.direction, turn);
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      const std::int64_t row = (b * sizes.length + t) * sizes.heads * sizes.head_size;
      for (std::int64_t h = 0; h < sizes.turned_heads; ++h) {
        Element* out = op.out + row + h * sizes.head_size;
        const Element* inp = op.inp + row + h * sizes.head_size;
        if (op.angles->pairing == RotaryPairing::kHalves) {
          turn_halves(turn, P, out, inp);
        } else {
          turn_neighbours(turn, P, out, inp);
        }
        if (out != inp) std::memcpy(out + 2 * P, inp + 2 * P, (head_size - 2 * P) * sizeof(Element));
      }
      if (op.out != op.inp) {
        const std::int64_t values = row + sizes.turned_heads * sizes.head_size;
        const auto count = static_cast<std::size_t>((sizes.heads - sizes.turned_heads) * sizes.head_size);
        std::memcpy(op.out + values, op.inp + values, count * sizeof(Element));
      }
    }
  }
}

HWY_ATTR void rotary_positions_float32(const Rotary<float>& op, std::int64_t first, std::int64_t last) {
  rotary_positions(op, first, last);
}
HWY_ATTR void rotary_positions_bfloat16(const Rotary<BFloat16>& op, std::int64_t first, std::int64_t last) {
  rotary_positions(op, first, last);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(rotary_positions);

namespace {

/// One position's angles serve all sequences, so threads share the positions.
template <typename T>
void rotary(const Rotary<T>& op, const CpuContext& context) {
  parallel_ranges(op.sizes.length, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, rotary_positions)(op, begin, end);
  });
}

}  // namespace

void run(const ops::RotaryForward& op, const CpuContext& context) {
  const RotarySizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    rotary(Rotary<T>{.out = op.out.as<T>(),
                     .inp = op.inp.as<T>(),
                     .sizes = sizes,
                     .first_position = op.first_position,
                     .direction = 1,
                     .angles = &op.angles},
           context);
  });
}

void run(const ops::RotaryBackward& op, const CpuContext& context) {
  const RotarySizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    rotary(Rotary<T>{.out = op.dinp.as<T>(),
                     .inp = op.dout.as<T>(),
                     .sizes = sizes,
                     .first_position = 0,
                     .direction = -1,
                     .angles = &op.angles},
           context);
  });
}

}  // namespace virgil::cpu
#endif
