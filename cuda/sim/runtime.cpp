// The CUDA runtime's functions for errors, devices and launches, on the played device.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

#include "cuda/sim/runtime.h"

namespace virgil::simt {

namespace {

constexpr int kDefaultDynamicSmem = 48 * 1024;

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

}  // namespace

cudaError_t result(cudaError_t own) {
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
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorUnsupportedPtxVersion:
      return "cudaErrorUnsupportedPtxVersion";
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
cudaError_t cudaSetDevice(int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  const Turn turn;
  played_device().has_context = true;
  return cudaSuccess;
}

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
  *version = played_device().model.driver_version;
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

// --- Launches --------------------------------------------------------------------------------------------------------------

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* /*kernel*/) {
  const Turn turn;
  *attributes = {.sharedSizeBytes = 0, .maxThreadsPerBlock = kMaxThreads, .numRegs = 0};
  return result(static_cast<cudaError_t>(played_device().model.kernel_error));
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Turn turn;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return result();
  if (value < 0 || value > max_dynamic_smem(played_device().model.compute_capability)) return result(cudaErrorInvalidValue);
  played_device().dynamic_smem_limits[kernel] = value;
  return result();
}
