#include "backend/cpu/vector_target.h"

#include "backend/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/vector_target.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

const char* target_name() {
#if HWY_TARGET == HWY_AVX3
  return "AVX-512";
#elif HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  return "scalar";
#else
  return hwy::TargetName(HWY_TARGET);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

HWY_EXPORT(target_name);

std::string_view vector_target_name() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace virgil::cpu
#endif
