// The best rates that this machine reaches: what times are held against.
#pragma once

#include <cstdint>

#include "bench/op_timer.h"
#include "virgil/backend/backend.h"

namespace virgil::bench {

/// The best of repeated float32 matrix products of a few sizes through the backend, and of repeated triads (a = b + s c) over
/// arrays larger than most caches, on as many threads as the machine offers.
[[nodiscard]] MachinePeak measure_peak(Backend& backend);

}  // namespace virgil::bench
