// Whether this program has code for a GPU.
#pragma once

#include <cuda_runtime.h>

namespace virgil::cuda {

/// cudaSuccess, or why the current device cannot run the kernels that are compiled in.
[[nodiscard]] cudaError_t probe_kernels();

}  // namespace virgil::cuda
