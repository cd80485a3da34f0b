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

#include "backend/cpu/sigmoid-inl.h"
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename T>
HWY_INLINE void gelu_forward_range(T* out, const T* inp, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    part.store(Gelu::value(part.load(inp + begin + i)), out + begin + i);
  });
}

template <typename T>
HWY_INLINE void gelu_backward_range(T* dinp, const T* dout, const T* inp, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector slope = Gelu::value_and_slope(part.load(inp + begin + i)).slope;
    part.store(hn::Mul(part.load(dout + begin + i), slope), dinp + begin + i);
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
