#include "backend/cpu/glu.h"

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/glu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "backend/cpu/sigmoid-inl.h"
#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_GLU_ONCE
#define VIRGIL_CPU_GLU_ONCE
namespace virgil::cpu {

template <typename Element>
struct GluForward {
  Element* out;
  const Element* gate;
  const Element* up;
  GluGate act;
};

template <typename Element>
struct GluBackward {
  Element* dgate;
  Element* dup;
  const Element* dout;
  const Element* gate;
  const Element* up;
  GluGate act;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename Act, typename Element>
HWY_INLINE void glu_forward_with(const GluForward<Element>& op, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const std::int64_t at = begin + static_cast<std::int64_t>(i);
    part.store(hn::Mul(Act::value(part.load(op.gate + at)), part.load(op.up + at)), op.out + at);
  });
}

template <typename Act, typename Element>
HWY_INLINE void glu_backward_with(const GluBackward<Element>& op, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const std::int64_t at = begin + static_cast<std::int64_t>(i);
    const Activation act = Act::value_and_slope(part.load(op.gate + at));
    const FloatVector dout = part.load(op.dout + at);
    const FloatVector dact = hn::Mul(dout, part.load(op.up + at));
    part.store(hn::Mul(dact, act.slope), op.dgate + at);
    part.store(hn::Mul(dout, act.value), op.dup + at);
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
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.gate.dtype(), [&]<typename T>(T) {
    const GluForward<T> operands{.out = op.out.as<T>(), .gate = op.gate.as<T>(), .up = op.up.as<T>(), .act = op.act};
    parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, glu_forward_range)(operands, begin, end);
    });
  });
}

void run(const ops::GluBackward& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.gate.dtype(), [&]<typename T>(T) {
    const GluBackward<T> operands{.dgate = op.dgate.as<T>(),
                                  .dup = op.dup.as<T>(),
                                  .dout = op.dout.as<T>(),
                                  .gate = op.gate.as<T>(),
                                  .up = op.up.as<T>(),
                                  .act = op.act};
    parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, glu_backward_range)(operands, begin, end);
    });
  });
}

}  // namespace virgil::cpu
#endif
