// The CUDA runtime's functions for memory, on the played device.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstring>
#include <iterator>
#include <new>

#include "cuda/sim/runtime.h"

using namespace virgil::simt;

namespace {

bool is_pinned(const void* data, std::size_t size_bytes) {
  const auto& pinned = played_device().pinned;
  const auto* begin = static_cast<const std::byte*>(data);
  const auto after = pinned.upper_bound(begin);
  return after != pinned.begin() && begin + size_bytes <= std::prev(after)->first + std::prev(after)->second;
}

}  // namespace

cudaError_t cudaMalloc(void** data, std::size_t size_bytes) {
  const Turn turn;
  if (const cudaError_t status = captures().allow_unsafe_call(); status != cudaSuccess) return result(status);
  const DeviceModel& model = played_device().model;
  const auto capacity = static_cast<std::size_t>(model.memory_bytes - model.others_bytes - kContextBytes);
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
  const DeviceModel& model = played_device().model;
  *total_bytes = static_cast<std::size_t>(model.memory_bytes);
  *free_bytes =
      static_cast<std::size_t>(model.memory_bytes - model.others_bytes - kContextBytes) - played_device().memory.used_bytes();
  ++simulator().statistics().memory_questions;
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
