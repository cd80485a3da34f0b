// What the CUDA runtime's functions on the played device share. The caller holds the turn.
#pragma once

#include <cuda_runtime.h>

#include <functional>

#include "cuda/sim/played_device.h"

namespace virgil::simt {

/// The error of this call: its own, or the device's that an earlier piece of work left.
[[nodiscard]] cudaError_t result(cudaError_t own = cudaSuccess);

/// Work for a stream, or for the graph that it is captured in; the error of the call.
[[nodiscard]] cudaError_t submit(cudaStream_t stream, std::function<void()> run);

}  // namespace virgil::simt
