// CUDA's runtime as far as Virgil uses it, for a host compiler and the SIMT simulator.
//
// Names, types and meanings are those of the "CUDA Runtime API" and the "CUDA C++ Programming Guide". What is not here does not
// compile in the simulator; nvcc with the real headers stays the judge of the language.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda/sim/simt.h"

// --- The language
// --------------------------------------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

// --- Vector types ------------------------------------------------------------------------------------------------------------

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}  // NOLINT: implicit in CUDA
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// Of the running thread; the simulator sets them at every switch.
inline thread_local constinit uint3 threadIdx{}, blockIdx{};
inline thread_local constinit dim3 blockDim, gridDim;

// --- Barriers and fences
// --------------------------------------------------------------------------------------------------------

#define VIRGIL_SITE simt::Site site = simt::Site::current()
inline void __syncthreads(VIRGIL_SITE) { simt::block_barrier(simt::BarrierKind::kPlain, 0, site); }
inline int __syncthreads_count(int predicate, VIRGIL_SITE) {
  return simt::block_barrier(simt::BarrierKind::kCount, predicate, site);
}
inline int __syncthreads_and(int predicate, VIRGIL_SITE) {
  return simt::block_barrier(simt::BarrierKind::kAnd, predicate, site);
}
inline int __syncthreads_or(int predicate, VIRGIL_SITE) { return simt::block_barrier(simt::BarrierKind::kOr, predicate, site); }
inline void __syncwarp(std::uint32_t mask = 0xFFFFFFFFU, VIRGIL_SITE) { simt::warp_barrier(mask, site); }
// One thread of the operating system runs all, in the order of the program: what a fence would order is ordered.
inline void __threadfence() {}
inline void __threadfence_block() {}

// --- Shuffles and votes. __activemask is missing on purpose: its value does not follow from the program.
// ----------------------------

namespace virgil::simt {

enum class Shuffle : std::uint8_t { kIndex, kUp, kDown, kXor };

template <Shuffle Kind, typename T>
VIRGIL_SIM_RUNTIME T shuffle(std::uint32_t mask, T value, int operand, int width, const char* name, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8));
  struct Lane {
    T value;
    int operand;
    int width;
    T result;
  } mine{value, operand, width, value};
  collective(
      mask, &mine,
      [](void* const* lanes, std::uint32_t joined) VIRGIL_SIM_RUNTIME {
        for (int i = 0; i < kWarpSize; ++i) {
          if ((joined >> i & 1U) == 0) continue;
          Lane& lane = *static_cast<Lane*>(lanes[i]);
          const int first = i / lane.width * lane.width, last = first + lane.width - 1;
          int source = i;
          if constexpr (Kind == Shuffle::kIndex) source = first + (lane.operand & (lane.width - 1));
          if constexpr (Kind == Shuffle::kUp) source = i - lane.operand < first ? i : i - lane.operand;
          if constexpr (Kind == Shuffle::kDown) source = i + lane.operand > last ? i : i + lane.operand;
          if constexpr (Kind == Shuffle::kXor) source = (i ^ lane.operand) > last ? i : i ^ lane.operand;
          if ((joined >> source & 1U) == 0) fail("shuffle: lane %d reads lane %d, which does not take part", i, source);
          lane.result = static_cast<Lane*>(lanes[source])->value;
        }
      },
      name, site);
  return mine.result;
}

VIRGIL_SIM_RUNTIME inline std::uint32_t vote(std::uint32_t mask, bool predicate, const char* name, Site site) {
  struct Lane {
    bool predicate;
    std::uint32_t result;
  } mine{predicate, 0};
  collective(
      mask, &mine,
      [](void* const* lanes, std::uint32_t joined) VIRGIL_SIM_RUNTIME {
        std::uint32_t ballot = 0;
        for (int i = 0; i < kWarpSize; ++i) {
          if ((joined >> i & 1U) != 0 && static_cast<Lane*>(lanes[i])->predicate) ballot |= 1U << i;
        }
        for (int i = 0; i < kWarpSize; ++i) {
          if ((joined >> i & 1U) != 0) static_cast<Lane*>(lanes[i])->result = ballot;
        }
      },
      name, site);
  return mine.result;
}

}  // namespace virgil::simt

template <typename T>
T __shfl_sync(std::uint32_t mask, T value, int lane, int width = 32, VIRGIL_SITE) {
  return simt::shuffle<simt::Shuffle::kIndex>(mask, value, lane, width, "__shfl_sync", site);
}
template <typename T>
T __shfl_up_sync(std::uint32_t mask, T value, unsigned delta, int width = 32, VIRGIL_SITE) {
  return simt::shuffle<simt::Shuffle::kUp>(mask, value, static_cast<int>(delta), width, "__shfl_up_sync", site);
}
template <typename T>
T __shfl_down_sync(std::uint32_t mask, T value, unsigned delta, int width = 32, VIRGIL_SITE) {
  return simt::shuffle<simt::Shuffle::kDown>(mask, value, static_cast<int>(delta), width, "__shfl_down_sync", site);
}
template <typename T>
T __shfl_xor_sync(std::uint32_t mask, T value, int lane_mask, int width = 32, VIRGIL_SITE) {
  return simt::shuffle<simt::Shuffle::kXor>(mask, value, lane_mask, width, "__shfl_xor_sync", site);
}
inline unsigned __ballot_sync(std::uint32_t mask, int predicate, VIRGIL_SITE) {
  return simt::vote(mask, predicate != 0, "__ballot_sync", site);
}
inline int __any_sync(std::uint32_t mask, int predicate, VIRGIL_SITE) {
  return static_cast<int>(simt::vote(mask, predicate != 0, "__any_sync", site) != 0);
}
inline int __all_sync(std::uint32_t mask, int predicate, VIRGIL_SITE) {
  return static_cast<int>(simt::vote(mask, predicate != 0, "__all_sync", site) == mask);
}
/// The lanes of the mask that hold the same value.
template <typename T>
unsigned __match_any_sync(std::uint32_t mask, T value, VIRGIL_SITE) {
  struct Lane {
    T value;
    std::uint32_t result;
  } mine{value, 0};
  simt::collective(
      mask, &mine,
      [](void* const* lanes, std::uint32_t joined) VIRGIL_SIM_RUNTIME {
        for (int i = 0; i < simt::kWarpSize; ++i) {
          if ((joined >> i & 1U) == 0) continue;
          Lane& lane = *static_cast<Lane*>(lanes[i]);
          for (int j = 0; j < simt::kWarpSize; ++j) {
            if ((joined >> j & 1U) != 0 && static_cast<Lane*>(lanes[j])->value == lane.value) lane.result |= 1U << j;
          }
        }
      },
      "__match_any_sync", site);
  return mine.result;
}
#undef VIRGIL_SITE

// --- Atomics: one thread of the operating system runs all, so plain operations are atomic
// -------------------------------------------

namespace virgil::simt {
template <typename T, typename Update>
__attribute__((noinline)) VIRGIL_SIM_RUNTIME T atomic_update(T* address, Update update) {
  note(address, sizeof(T), Access::kAtomic);
  const T old = *address;
  *address = update(old);
  return old;
}
}  // namespace virgil::simt

template <typename T>
VIRGIL_SIM_RUNTIME T atomicAdd(T* address, std::type_identity_t<T> value) {
  static_assert(std::is_integral_v<T>, "floating-point atomics have no fixed order of addition");
  return simt::atomic_update(address, [=](T old) VIRGIL_SIM_RUNTIME { return static_cast<T>(old + value); });
}
template <typename T>
VIRGIL_SIM_RUNTIME T atomicMax(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) VIRGIL_SIM_RUNTIME { return std::max(old, value); });
}
template <typename T>
VIRGIL_SIM_RUNTIME T atomicMin(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) VIRGIL_SIM_RUNTIME { return std::min(old, value); });
}
template <typename T>
VIRGIL_SIM_RUNTIME T atomicExch(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T) VIRGIL_SIM_RUNTIME { return value; });
}
template <typename T>
VIRGIL_SIM_RUNTIME T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) VIRGIL_SIM_RUNTIME { return old == expected ? value : old; });
}
template <typename T>
VIRGIL_SIM_RUNTIME T atomicOr(T* address, std::type_identity_t<T> value) {
  return simt::atomic_update(address, [=](T old) VIRGIL_SIM_RUNTIME { return static_cast<T>(old | value); });
}

// --- Functions of device code
// -------------------------------------------------------------------------------------------------------

using std::max;
using std::min;

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, const T& value) {
  *address = value;
}
template <typename T>
void __stcg(T* address, const T& value) {
  *address = value;
}

inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0F / a; }
inline float __double2float_rn(double a) { return static_cast<float>(a); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(std::uint64_t{a} * b >> 32U); }

// --- Errors
// ----------------------------------------------------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureMerge = 902,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorStreamCaptureUnjoined = 904,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907,
};
/// For cudaErrorLaunchFailure: what the simulator found, with block, thread and source line.
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

// --- Devices
// -----------------------------------------------------------------------------------------------------------------------------

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
  std::size_t totalGlobalMem;
  int major;
  int minor;
  int multiProcessorCount;
  std::size_t sharedMemPerBlock;
  std::size_t sharedMemPerBlockOptin;
  std::size_t sharedMemPerMultiprocessor;
  int memoryBusWidth;
  int l2CacheSize;
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDeviceSynchronize();

// --- Streams, events, graphs
// ---------------------------------------------------------------------------------------------------------------

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDefault = 0;
inline constexpr unsigned cudaEventDisableTiming = 2;
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
  cudaStreamCaptureStatusInvalidated = 2
};
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority);
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

// --- Memory
// --------------------------------------------------------------------------------------------------------------------------------

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
cudaError_t cudaMalloc(void** data, std::size_t size_bytes);
cudaError_t cudaFree(void* data);
cudaError_t cudaMallocAsync(void** data, std::size_t size_bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream);
cudaError_t cudaMallocHost(void** data, std::size_t size_bytes);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemcpy(void* target, const void* source, std::size_t size_bytes, cudaMemcpyKind kind);
cudaError_t cudaMemsetAsync(void* target, int value, std::size_t size_bytes, cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* target, int value, std::size_t size_bytes);

// --- Launches
// --------------------------------------------------------------------------------------------------------------------------------

struct cudaLaunchAttribute {
  int id;
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
struct cudaFuncAttributes {
  std::size_t sharedSizeBytes;
  int maxThreadsPerBlock;
  int numRegs;
};
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);

namespace virgil::simt {
/// Queues a launch; `body` runs the kernel in one thread.
cudaError_t submit_launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body);
/// Queues work of a library.
cudaError_t submit_call(cudaStream_t stream, std::function<void()> run);
}  // namespace virgil::simt

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  std::tuple<std::decay_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  return virgil::simt::submit_launch(*config, reinterpret_cast<const void*>(kernel),
                                     [kernel, values]() VIRGIL_SIM_RUNTIME { std::apply(kernel, values); });
}
