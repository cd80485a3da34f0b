// The CUDA runtime's functions on the played device.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "cuda/sim/played_device.h"

// What the opaque handles point to.
struct CUstream_st {
  int number = 0;
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

namespace virgil::simt {

namespace {

constexpr int kDefaultDynamicSmem = 48 * 1024;
constexpr int kContextBytes = 64 << 20;  // what a context would take of the device

/// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
int max_threads_per_sm(int compute_capability) {
  switch (compute_capability) {
    case 75:
      return 1024;
    case 86:
    case 89:
    case 120:
      return 1536;
    default:
      return 2048;
  }
}

int max_dynamic_smem(int compute_capability) {
  switch (compute_capability) {
    case 75:
      return 64 * 1024;
    case 80:
      return 163 * 1024;
    case 86:
    case 89:
    case 120:
      return 99 * 1024;
    default:
      return 227 * 1024;
  }
}

/// Whether the host may ask now for an event's state.
cudaError_t allow_asking(cudaEvent_t event) {
  if (event->capture != nullptr) {
    event->capture->invalidate();
    return cudaErrorCapturedEvent;
  }
  return captures().allow_unsafe_call();
}

/// The error of this call: its own, or the device's that an earlier piece of work left.
cudaError_t result(cudaError_t own = cudaSuccess) {
  if (own != cudaSuccess) {
    played_device().last_error = own;
    return own;
  }
  if (simulator().failed()) {
    played_device().last_error = cudaErrorLaunchFailure;
    return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

bool is_pinned(const void* data, std::size_t size_bytes) {
  const auto& pinned = played_device().pinned;
  const auto* begin = static_cast<const std::byte*>(data);
  const auto after = pinned.upper_bound(begin);
  return after != pinned.begin() && begin + size_bytes <= std::prev(after)->first + std::prev(after)->second;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> run) {
  if (!streams().exists(number_of(stream))) return result(cudaErrorInvalidResourceHandle);
  if (const auto capture = captures().of(number_of(stream)); capture != nullptr) {
    if (capture->invalid()) return result(cudaErrorStreamCaptureInvalidated);
    capture->run(number_of(stream), std::move(run));
    return result();
  }
  streams().submit(number_of(stream), {.run = std::move(run)});
  return result();
}

}  // namespace

int number_of(cudaStream_t stream) { return stream == nullptr ? 0 : stream->number; }

cudaError_t submit_call(cudaStream_t stream, std::function<void()> run) {
  const Turn turn;
  return submit(stream, std::move(run));
}

cudaError_t submit_launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body) {
  const Turn turn;
  const Extent grid{config.gridDim.x, config.gridDim.y, config.gridDim.z};
  const Extent block{config.blockDim.x, config.blockDim.y, config.blockDim.z};
  constexpr unsigned kMaxGridYz = 65535, kMaxGridX = 0x7FFFFFFF, kMaxBlockZ = 64;
  const bool blocks_fit = block.count() >= 1 && block.count() <= kMaxThreads && block.z <= kMaxBlockZ;
  const bool grid_fits = grid.count() >= 1 && grid.x <= kMaxGridX && grid.y <= kMaxGridYz && grid.z <= kMaxGridYz;
  if (!blocks_fit || !grid_fits) return result(cudaErrorInvalidConfiguration);
  const auto raised = played_device().dynamic_smem_limits.find(kernel);
  const int limit = raised != played_device().dynamic_smem_limits.end() ? raised->second : kDefaultDynamicSmem;
  if (config.dynamicSmemBytes > static_cast<std::size_t>(limit)) return result(cudaErrorInvalidValue);
  const std::size_t smem_bytes = config.dynamicSmemBytes;
  return submit(config.stream,
                [grid, block, smem_bytes, body = std::move(body)] { simulator().run_grid(grid, block, smem_bytes, body); });
}

}  // namespace virgil::simt

using namespace virgil::simt;

// --- Errors ----------------------------------------------------------------------------------------------------------------

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInitializationError:
      return "cudaErrorInitializationError";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureMerge:
      return "cudaErrorStreamCaptureMerge";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
  }
  return "unknown error";
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure && simulator().failed()) return simulator().error().c_str();
  return cudaGetErrorName(error);
}

cudaError_t cudaPeekAtLastError() {
  const Turn turn;
  return played_device().last_error;
}
cudaError_t cudaGetLastError() {
  const Turn turn;
  return std::exchange(played_device().last_error, cudaSuccess);
}

// --- Devices ---------------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : result(cudaErrorInvalidDevice); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  const DeviceModel& model = played_device().model;
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "SIMT simulator");
  const std::int64_t serial = played_device().serial();
  std::memcpy(properties->uuid.bytes, &serial, sizeof serial);
  properties->totalGlobalMem = static_cast<std::size_t>(model.memory_bytes);
  properties->major = model.compute_capability / 10;
  properties->minor = model.compute_capability % 10;
  properties->multiProcessorCount = model.num_sms;
  properties->sharedMemPerBlock = kDefaultDynamicSmem;
  properties->sharedMemPerBlockOptin = static_cast<std::size_t>(max_dynamic_smem(model.compute_capability));
  properties->sharedMemPerMultiprocessor = properties->sharedMemPerBlockOptin + 1024;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  const DeviceModel& model = played_device().model;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = model.num_sms;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = max_threads_per_sm(model.compute_capability);
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = model.compute_capability / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = model.compute_capability % 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = max_dynamic_smem(model.compute_capability);
      return cudaSuccess;
  }
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const Turn turn;
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  streams().synchronize_all();
  return result();
}

// --- Streams, events, graphs -------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Turn turn;
  // Blocking streams would wait for the default stream; Virgil makes none.
  if (flags != cudaStreamNonBlocking) return result(cudaErrorInvalidValue);
  *stream = new CUstream_st{streams().create()};
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

// --- Memory ------------------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** data, std::size_t size_bytes) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  const auto capacity = static_cast<std::size_t>(played_device().model.memory_bytes - kContextBytes);
  *data = size_bytes == 0 ? nullptr : played_device().memory.allocate(size_bytes, capacity);
  return result(*data == nullptr && size_bytes > 0 ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFree(void* data) {
  const Turn turn;
  if (data == nullptr) return result();
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  streams().synchronize_all();
  return result(played_device().memory.free(data) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMallocAsync(void** data, std::size_t size_bytes, cudaStream_t /*stream*/) {
  return cudaMalloc(data, size_bytes);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_uncapturable(number_of(stream)); status != cudaSuccess) return result(status);
  return submit(stream, [data] {
    if (!played_device().memory.free(data)) simulator().record("cudaFreeAsync of what was not allocated");
  });
}
cudaError_t cudaMallocHost(void** data, std::size_t size_bytes) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  *data = ::operator new(size_bytes, std::nothrow);
  if (*data == nullptr) return result(cudaErrorMemoryAllocation);
  played_device().pinned[static_cast<const std::byte*>(*data)] = size_bytes;
  return result();
}
cudaError_t cudaFreeHost(void* data) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  streams().synchronize_all();
  played_device().pinned.erase(static_cast<const std::byte*>(data));
  ::operator delete(data);
  return result();
}
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  const Turn turn;
  *total_bytes = static_cast<std::size_t>(played_device().model.memory_bytes);
  *free_bytes = *total_bytes - kContextBytes - played_device().memory.used_bytes();
  return result();
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Turn turn;
  const DeviceMemory& memory = played_device().memory;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault || (to_device && !memory.contains(target, size_bytes)) ||
      (from_device && !memory.contains(source, size_bytes))) {
    return result(cudaErrorInvalidValue);
  }
  if ((!to_device && !is_pinned(target, size_bytes)) || (!from_device && !is_pinned(source, size_bytes))) {
    const auto capture = captures().of(number_of(stream));
    if (capture != nullptr && capture->mode() != cudaStreamCaptureModeRelaxed) {
      return result(captures().allow_uncapturable(number_of(stream)));
    }
  }
  return submit(stream, [target, source, size_bytes] {
    if (simulator().failed()) return;
    race_detector().transfer(source, size_bytes, Access::kRead, "cudaMemcpyAsync");
    race_detector().transfer(target, size_bytes, Access::kWrite, "cudaMemcpyAsync");
    std::memcpy(target, source, size_bytes);
  });
}
cudaError_t cudaMemcpy(void* target, const void* source, std::size_t size_bytes, cudaMemcpyKind kind) {
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  return cudaMemcpyAsync(target, source, size_bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* target, int value, std::size_t size_bytes, cudaStream_t stream) {
  const Turn turn;
  if (!played_device().memory.contains(target, size_bytes)) return result(cudaErrorInvalidValue);
  return submit(stream, [target, value, size_bytes] {
    if (simulator().failed()) return;
    race_detector().transfer(target, size_bytes, Access::kWrite, "cudaMemsetAsync");
    std::memset(target, value, size_bytes);
  });
}
cudaError_t cudaMemset(void* target, int value, std::size_t size_bytes) {
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  return cudaMemsetAsync(target, value, size_bytes, nullptr);
}

// --- Launches
// ------------------------------------------------------------------------------------------------------------------

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* /*kernel*/) {
  const Turn turn;
  *attributes = {.sharedSizeBytes = 0, .maxThreadsPerBlock = kMaxThreads, .numRegs = 0};
  return result();
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Turn turn;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return result();
  if (value < 0 || value > max_dynamic_smem(played_device().model.compute_capability)) return result(cudaErrorInvalidValue);
  played_device().dynamic_smem_limits[kernel] = value;
  return result();
}
