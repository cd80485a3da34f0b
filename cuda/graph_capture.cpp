#include "cuda/graph_capture.h"

#include <string>

namespace virgil::cuda {

namespace {

void check_capture(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw CudaError(code, std::string("recording a CUDA graph: ") + call + ": " + cudaGetErrorString(code) +
                            "; --cuda_graph false runs without one");
}

}  // namespace

GraphExec capture_graph(cudaStream_t stream, const std::function<void()>& queue_work) {
  // Thread-local: what this thread must not do while it records is an error, other threads are left alone.
  check_capture(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t recorded = nullptr;
  try {
    queue_work();
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(stream, &recorded));
    static_cast<void>(cudaGetLastError());
    const Graph unfinished(recorded);
    throw;
  }
  const cudaError_t ended = cudaStreamEndCapture(stream, &recorded);
  const Graph graph(recorded);
  check_capture(ended, "cudaStreamEndCapture");
  cudaGraphExec_t exec = nullptr;
  check_capture(cudaGraphInstantiate(&exec, graph.get(), 0), "cudaGraphInstantiate");
  GraphExec made(exec);
  // Otherwise the first launch does it, while the GPU waits.
  check_capture(cudaGraphUpload(made.get(), stream), "cudaGraphUpload");
  return made;
}

}  // namespace virgil::cuda
