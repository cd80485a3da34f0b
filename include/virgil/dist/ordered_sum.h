// The sums of reduce-scatters that are not a library's: float32, in order of rank.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "virgil/base/dtype.h"

namespace virgil {

/// own[i] = (c_0[i] + c_1[i]) + ... + c_{R-1}[i] in float32, for R = received.size() ranks. c_r is what received[r] points to,
/// own.size() elements of type `wire`; c_rank is `own` itself, rounded to `wire` first, and received[rank] is not read.
/// `between` is called now and then, so that something else can make progress.
void sum_in_rank_order(std::span<float> own, int rank, std::span<const std::byte* const> received, DType wire,
                       const std::function<void()>& between = {});

/// out[i] = values[i] as bfloat16, to nearest, ties to even.
void round_to_bfloat16(std::span<BFloat16> out, std::span<const float> values);

}  // namespace virgil
