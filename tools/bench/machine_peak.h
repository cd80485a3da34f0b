// The best rates that this machine reaches: what times are held against.
#pragma once

#include <cstdint>
#include <string>

#include "bench/op_timer.h"
#include "virgil/backend/backend.h"

namespace virgil::bench {

/// The best of repeated matrix products of a few sizes through the backend, in `dtype`, that of the step, and in each type that
/// is no slower than float32; and of repeated triads (a = b + s c) over arrays larger than most caches, on as many threads as
/// the machine offers, or of copies on a device with memory of its own.
[[nodiscard]] MachinePeak measure_peak(Backend& backend, DType dtype);

/// "224.1 GFLOP/s in float32 matrix products, 31.9 GB/s of memory".
[[nodiscard]] std::string describe_peak(const MachinePeak& peak);

/// Fills `dst` with normal values of this deviation: a GPU draws less power on zeros, and multiplies them faster than any
/// weights.
void fill_with_normal_values(Backend& backend, TensorView dst, float deviation = 1);

}  // namespace virgil::bench
