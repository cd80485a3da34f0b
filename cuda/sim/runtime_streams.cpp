// The CUDA runtime's functions for streams, events and graphs, on the played device.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "cuda/sim/runtime.h"

// What the opaque handles point to.
struct CUstream_st {
  int number = 0;
  int priority = 0;
};
struct CUevent_st {
  bool timed = true;
  std::shared_ptr<const virgil::simt::Milestone> milestone = {};
  std::shared_ptr<virgil::simt::Capture> capture = {};  // recorded in it last, as this mark of it; null: outside
  std::size_t mark = 0;
};
struct CUgraph_st {
  virgil::simt::GraphProgram program;
};
struct CUgraphExec_st {
  virgil::simt::ExecutableGraph graph;
};

using namespace virgil::simt;

namespace {

constexpr int kGreatestPriority = -5;  // a lower number goes first

/// Whether the host may ask now for an event's state.
cudaError_t allow_asking(cudaEvent_t event) {
  if (event->capture != nullptr) {
    event->capture->invalidate();
    return cudaErrorCapturedEvent;
  }
  return captures().allow_unsafe_call();
}

}  // namespace

int virgil::simt::number_of(cudaStream_t stream) { return stream == nullptr ? 0 : stream->number; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Turn turn;
  // Blocking streams would wait for the default stream; Virgil makes none.
  if (flags != cudaStreamNonBlocking) return result(cudaErrorInvalidValue);
  *stream = new CUstream_st{streams().create()};
  return cudaSuccess;
}
// Priorities are kept and change nothing: any order of streams is one that a GPU may choose.
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = kGreatestPriority;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  if (const cudaError_t status = cudaStreamCreateWithFlags(stream, flags); status != cudaSuccess) return status;
  (*stream)->priority = std::clamp(priority, kGreatestPriority, 0);
  if ((*stream)->priority == kGreatestPriority) {
    const Turn turn;
    ++simulator().statistics().urgent_streams;
  }
  return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  *priority = stream == nullptr ? 0 : stream->priority;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Turn turn;
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (const cudaError_t status = captures().allow_uncapturable(stream->number); status != cudaSuccess) return result(status);
  streams().destroy(stream->number);
  delete stream;
  return result();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_uncapturable(number_of(stream)); status != cudaSuccess) return result(status);
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  if (stream == nullptr) {
    streams().synchronize_all();
  } else {
    streams().synchronize(stream->number);
  }
  return result();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  const Turn turn;
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return result(captures().wait(number_of(stream), event->capture, event->mark));
  if (captures().of(number_of(stream)) != nullptr) return result(captures().refuse_outside_event(number_of(stream)));
  if (event->milestone != nullptr) streams().submit(number_of(stream), {.wait_for = event->milestone});
  return result();
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{.timed = flags != cudaEventDisableTiming};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Turn turn;
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  event->capture = captures().of(number_of(stream));
  if (event->capture != nullptr) {
    if (event->capture->invalid()) return result(cudaErrorStreamCaptureInvalidated);
    event->mark = event->capture->mark(number_of(stream));
    event->milestone = nullptr;
    return result();
  }
  event->milestone = streams().record(number_of(stream));
  return result();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Turn turn;
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (const cudaError_t status = allow_asking(event); status != cudaSuccess) return result(status);
  if (event->milestone != nullptr) streams().synchronize(*event->milestone);
  return result();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Turn turn;
  if (const cudaError_t status = allow_asking(event); status != cudaSuccess) return result(status);
  if (event->milestone == nullptr) return result();
  // A GPU works while its host asks.
  if (!streams().reached(*event->milestone) && !streams().progress()) help_another_device();
  if (!streams().reached(*event->milestone)) {
    const cudaError_t error = result();
    return error == cudaSuccess ? cudaErrorNotReady : error;
  }
  streams().synchronize(*event->milestone);
  return result();
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Turn turn;
  if (start->milestone == nullptr || end->milestone == nullptr || !start->timed || !end->timed) {
    return result(cudaErrorInvalidResourceHandle);
  }
  if (!streams().reached(*start->milestone) || !streams().reached(*end->milestone)) return cudaErrorNotReady;
  *milliseconds = static_cast<float>(end->milestone->time_ms - start->milestone->time_ms);
  return result();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Turn turn;
  return result(captures().begin(number_of(stream), mode));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Turn turn;
  *graph = nullptr;
  GraphProgram program;
  if (const cudaError_t status = captures().end(number_of(stream), &program); status != cudaSuccess) return result(status);
  *graph = new CUgraph_st{std::move(program)};
  return result();
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Turn turn;
  const auto capture = captures().of(number_of(stream));
  *status = capture == nullptr   ? cudaStreamCaptureStatusNone
            : capture->invalid() ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
  return result();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  const Turn turn;
  if (graph == nullptr || flags != 0) return result(cudaErrorInvalidValue);
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  *exec = new CUgraphExec_st{ExecutableGraph(graph->program)};
  return result();
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  const Turn turn;
  if (exec == nullptr || !streams().exists(number_of(stream))) return result(cudaErrorInvalidValue);
  if (const cudaError_t status = captures().allow_uncapturable(number_of(stream)); status != cudaSuccess) return result(status);
  ++simulator().statistics().graph_uploads;
  return result();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Turn turn;
  if (exec == nullptr || !streams().exists(number_of(stream))) return result(cudaErrorInvalidValue);
  // CUDA would make it a part of the graph that is captured; Virgil has no use for that.
  if (const cudaError_t status = captures().allow_uncapturable(number_of(stream)); status != cudaSuccess) return result(status);
  exec->graph.launch(number_of(stream));
  return result();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Turn turn;
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Turn turn;
  delete exec;
  return cudaSuccess;
}
