#include "cuda/device_use.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

namespace virgil::cuda {

namespace {

// nvml.h, of whose library every driver has one: nothing to install, and nothing to link with where there is no driver.
constexpr const char* kLibrary = "libnvidia-ml.so.1";
constexpr int kSuccess = 0;
struct Memory {  // nvmlMemory_t
  unsigned long long total, free, used;
};
using Device = struct nvmlDevice_st*;
using Init = int (*)();
using FindDevice = int (*)(const char*, Device*);
using GetMemory = int (*)(Device, Memory*);

struct CloseLibrary {
  void operator()(void* library) const { static_cast<void>(dlclose(library)); }
};

template <typename Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

std::optional<std::int64_t> used_by_all(int device) {
  std::array<char, 32> bus{};
  if (cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), device) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return std::nullopt;
  }
  const std::unique_ptr<void, CloseLibrary> library(dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL));
  if (library == nullptr) return std::nullopt;
  const auto init = find<Init>(library.get(), "nvmlInit_v2"), shut_down = find<Init>(library.get(), "nvmlShutdown");
  const auto find_device = find<FindDevice>(library.get(), "nvmlDeviceGetHandleByPciBusId_v2");
  const auto get_memory = find<GetMemory>(library.get(), "nvmlDeviceGetMemoryInfo");
  if (init == nullptr || shut_down == nullptr || find_device == nullptr || get_memory == nullptr) return std::nullopt;
  if (init() != kSuccess) return std::nullopt;
  Device handle = nullptr;
  Memory memory{};
  const bool is_known = find_device(bus.data(), &handle) == kSuccess && get_memory(handle, &memory) == kSuccess;
  static_cast<void>(shut_down());
  return is_known ? std::optional(static_cast<std::int64_t>(memory.used)) : std::nullopt;
}

}  // namespace virgil::cuda
