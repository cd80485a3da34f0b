// The best rates that this machine reaches: what times are held against.
#pragma once

#include <cstdint>

#include "bench/op_timer.h"
#include "virgil/backend/backend.h"

namespace virgil::bench {

/// The best of repeated matrix products of a few sizes through the backend, in float32, in bfloat16 where the processor
/// multiplies it, and in `dtype`, that of the step; and of repeated triads (a = b + s c) over arrays larger than most caches,
/// on as many threads as the machine offers.
[[nodiscard]] MachinePeak measure_peak(Backend& backend, DType dtype);

}  // namespace virgil::bench
