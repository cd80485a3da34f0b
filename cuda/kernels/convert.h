// Conversions between float types.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// dst = src, rounded to nearest, ties to even; two different float dtypes.
void convert(const LaunchContext& context, DType dst_dtype, void* dst, DType src_dtype, const void* src, std::int64_t count);

}  // namespace virgil::cuda
