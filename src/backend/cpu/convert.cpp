#include "backend/cpu/convert.h"

#include "backend/cpu/copies.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/convert.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstddef>
#include <type_traits>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename To, typename From>
HWY_INLINE void convert_range(To* out, const From* inp, std::int64_t begin, std::int64_t end) {
  for_each_vector(static_cast<std::size_t>(end - begin),
                  [&](std::size_t i, auto part) HWY_ATTR { part.store(part.load(inp + begin + i), out + begin + i); });
}

HWY_ATTR void round_range(BFloat16* out, const float* inp, std::int64_t begin, std::int64_t end) {
  convert_range(out, inp, begin, end);
}
HWY_ATTR void widen_range(float* out, const BFloat16* inp, std::int64_t begin, std::int64_t end) {
  convert_range(out, inp, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

HWY_EXPORT(round_range);
HWY_EXPORT(widen_range);

void convert(BFloat16* out, const float* inp, std::int64_t num_elements, const CpuContext& context) {
  parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(round_range)(out, inp, begin, end);
  });
}

void convert(float* out, const BFloat16* inp, std::int64_t num_elements, const CpuContext& context) {
  parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(widen_range)(out, inp, begin, end);
  });
}

void run(const ops::Convert& op, const CpuContext& context) {
  op.check();
  if (op.dst.dtype() == op.src.dtype()) return run(ops::Copy{op.dst, op.src}, context);
  with_float_type(op.kName, op.src.dtype(), [&]<typename From>(From) {
    using To = std::conditional_t<std::is_same_v<From, float>, BFloat16, float>;
    ops::expect_supported(op.kName, op.dst.dtype(), {DTypeOf<To>::value});
    convert(op.dst.as<To>(), op.src.as<From>(), op.src.num_elements(), context);
  });
}

}  // namespace virgil::cpu
#endif
