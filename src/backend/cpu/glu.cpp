#include "backend/cpu/glu.h"

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/glu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/sigmoid-inl.h"
#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_GLU_ONCE
#define VIRGIL_CPU_GLU_ONCE
namespace virgil::cpu {

/// Of an op: rows of F elements beside rows of 2 F, gate and up.
template <typename Element>
struct GluForward {
  Element* out;
  const Element* inp;
  std::int64_t channels;  // F
  GluGate act;
};

template <typename Element>
struct GluBackward {
  Element* dinp;
  const Element* dout;
  const Element* inp;
  std::int64_t channels;
  GluGate act;
};

/// Calls body(row, first, count) for the pieces of rows of `channels` that elements [begin, end) lie in.
template <typename Body>
void for_each_piece(std::int64_t begin, std::int64_t end, std::int64_t channels, const Body& body) {
  while (begin < end) {
    const std::int64_t first = begin % channels;
    const std::int64_t count = std::min(channels - first, end - begin);
    body(begin / channels, first, count);
    begin += count;
  }
}

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename Act, typename Element>
HWY_INLINE void glu_forward_with(const GluForward<Element>& op, std::int64_t begin, std::int64_t end) {
  for_each_piece(begin, end, op.channels, [&](std::int64_t row, std::int64_t first, std::int64_t count) HWY_ATTR {
    const Element* gate = op.inp + row * 2 * op.channels + first;
    const Element* up = gate + op.channels;
    Element* out = op.out + row * op.channels + first;
    for_each_vector(static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
      part.store(hn::Mul(Act::value(part.load(gate + i)), part.load(up + i)), out + i);
    });
  });
}

template <typename Act, typename Element>
HWY_INLINE void glu_backward_with(const GluBackward<Element>& op, std::int64_t begin, std::int64_t end) {
  for_each_piece(begin, end, op.channels, [&](std::int64_t row, std::int64_t first, std::int64_t count) HWY_ATTR {
    const Element* gate = op.inp + row * 2 * op.channels + first;
    const Element* up = gate + op.channels;
    const Element* dout = op.dout + row * op.channels + first;
    Element* dgate = op.dinp + row * 2 * op.channels + first;
    Element* dup = dgate + op.channels;
    for_each_vector(static_cast<std::size_t>(count), [&](std::size_t i, auto part) HWY_ATTR {
      const Activation act = Act::value_and_slope(part.load(gate + i));
      const FloatVector d = part.load(dout + i);
      const FloatVector dact = hn::Mul(d, part.load(up + i));
      part.store(hn::Mul(dact, act.slope), dgate + i);
      part.store(hn::Mul(d, act.value), dup + i);
    });
  });
}

template <typename Element>
HWY_INLINE void glu_forward_range(const GluForward<Element>& op, std::int64_t begin, std::int64_t end) {
  return op.act == GluGate::kSilu ? glu_forward_with<Silu>(op, begin, end) : glu_forward_with<Gelu>(op, begin, end);
}
template <typename Element>
HWY_INLINE void glu_backward_range(const GluBackward<Element>& op, std::int64_t begin, std::int64_t end) {
  return op.act == GluGate::kSilu ? glu_backward_with<Silu>(op, begin, end) : glu_backward_with<Gelu>(op, begin, end);
}

HWY_ATTR void glu_forward_range_float32(const GluForward<float>& op, std::int64_t begin, std::int64_t end) {
  glu_forward_range(op, begin, end);
}
HWY_ATTR void glu_forward_range_bfloat16(const GluForward<BFloat16>& op, std::int64_t begin, std::int64_t end) {
  glu_forward_range(op, begin, end);
}
HWY_ATTR void glu_backward_range_float32(const GluBackward<float>& op, std::int64_t begin, std::int64_t end) {
  glu_backward_range(op, begin, end);
}
HWY_ATTR void glu_backward_range_bfloat16(const GluBackward<BFloat16>& op, std::int64_t begin, std::int64_t end) {
  glu_backward_range(op, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(glu_forward_range);
VIRGIL_EXPORT_PAIR(glu_backward_range);

void run(const ops::GluForward& op, const CpuContext& context) {
  const auto [rows, channels, dtype] = op.check();
  with_float_type(op.kName, dtype, [&, rows = rows, channels = channels]<typename T>(T) {
    const GluForward<T> operands{.out = op.out.as<T>(), .inp = op.inp.as<T>(), .channels = channels, .act = op.act};
    parallel_ranges(rows * channels, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, glu_forward_range)(operands, begin, end);
    });
  });
}

void run(const ops::GluBackward& op, const CpuContext& context) {
  const auto [rows, channels, dtype] = op.check();
  with_float_type(op.kName, dtype, [&, rows = rows, channels = channels]<typename T>(T) {
    const GluBackward<T> operands{
        .dinp = op.dinp.as<T>(), .dout = op.dout.as<T>(), .inp = op.inp.as<T>(), .channels = channels, .act = op.act};
    parallel_ranges(rows * channels, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, glu_backward_range)(operands, begin, end);
    });
  });
}

}  // namespace virgil::cpu
#endif
