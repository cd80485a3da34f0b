// What is queued on a stream, recorded as a CUDA graph instead of run.
#pragma once

#include <functional>

#include "cuda/handles.h"

namespace virgil::cuda {

/// Calls queue_work(), which queues kernels, copies and fills on `stream` and neither waits nor allocates; none of it runs.
/// Launch arguments are recorded as they are. Rethrows what queue_work() throws, and throws CudaError where the driver refuses
/// the recording; the stream is usable afterwards.
[[nodiscard]] GraphExec capture_graph(cudaStream_t stream, const std::function<void()>& queue_work);

}  // namespace virgil::cuda
