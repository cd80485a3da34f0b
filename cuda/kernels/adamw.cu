// AdamW in one pass over a flat buffer, four elements a thread and step: 16 bytes of a float32 tensor, 8 of a 16-bit one.
//
// Floor, in bytes an element: param 8, grad 4, m and v 16 (float32) or 8 (bfloat16), working copy 2: 30 or 22 in all. Where
// param is bfloat16 it is 4 and there is no copy: 24 or 16.
// Multiply-adds are spelled out: the bits must not depend on what else is stored, so the compiler may not choose them.
#include "cuda/kernels/adamw.h"

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "cuda/device/pack.h"
#include "cuda/device/random.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWidth = 4;  // a Philox block has four words

/// In place of the type of a working copy that there is not.
struct NoWorking {};

/// The step's scalars, combined in double and rounded once.
struct Factors {
  double grad_scale;
  double max_norm;
  float beta1;
  float beta2;
  float one_minus_beta1;
  float one_minus_beta2;
  float decay;            // 1 - learning_rate * weight_decay
  float step_size;        // learning_rate / (1 - beta1^t)
  float root_correction;  // 1 / sqrt(1 - beta2^t)
  float eps;
  RandomStream rounding;
  std::int64_t first_index;
};

template <typename Param, typename Moment, typename Working>
struct Buffers {
  Param* param;
  Working* working;
  Moment* m;
  Moment* v;
  const float* grad;
  const float* norm;
  std::int64_t count;
};

/// grad_scale * min(1, max_norm / norm), rounded once.
__device__ __forceinline__ float grad_factor(const Factors& f, float norm) {
  const auto wide_norm = static_cast<double>(norm);
  const double clip = f.max_norm > 0 && wide_norm > f.max_norm ? f.max_norm / wide_norm : 1.0;
  return static_cast<float>(f.grad_scale * clip);
}

/// A moment or a parameter as it is stored: float32 as it is; bfloat16 rounded up with the probability of its distance from the
/// bfloat16 below, as a share of their spacing. `random` holds 16 uniform bits.
template <typename T>
__device__ __forceinline__ T stored(float value, std::uint32_t random) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    const std::uint32_t word = __float_as_uint(value);
    const std::uint32_t result = value == value ? word + random : word | 0x00400000U;  // a NaN must not become infinite
    return __ushort_as_bfloat16(static_cast<unsigned short>(result >> 16));
  }
}

template <int Width>
__device__ __forceinline__ void rounding_words(const RandomStream& stream, std::int64_t element,
                                               std::uint32_t (&words)[Width]) {
  const auto index = static_cast<std::uint64_t>(element);
  const uint4 block = random_words(stream, index / 4);
  if constexpr (Width == 4) {
    words[0] = block.x;
    words[1] = block.y;
    words[2] = block.z;
    words[3] = block.w;
  } else {
    const auto i = static_cast<int>(index % 4);
    words[0] = i < 2 ? (i == 0 ? block.x : block.y) : (i == 2 ? block.z : block.w);
  }
}

/// Elements first to first + Width - 1.
template <typename Param, typename Moment, typename Working, int Width>
__device__ __forceinline__ void update(const Buffers<Param, Moment, Working>& buffers, const Factors& f, float grad_factor,
                                       std::int64_t first) {
  const Pack<float, Width> grad = load_pack_streaming<float, Width>(buffers.grad + first);
  Pack<Param, Width> param = load_pack_streaming<Param, Width>(buffers.param + first);
  Pack<Moment, Width> m = load_pack_streaming<Moment, Width>(buffers.m + first);
  Pack<Moment, Width> v = load_pack_streaming<Moment, Width>(buffers.v + first);
  std::uint32_t words[Width] = {};
  if constexpr (sizeof(Moment) == 2) rounding_words(f.rounding, f.first_index + first, words);
  std::uint32_t param_words[Width] = {};
  if constexpr (sizeof(Param) == 2) {
    RandomStream stream = f.rounding;  // weight_rounding(), which is the host's
    stream.purpose = RandomPurpose::kWeightRounding;
    rounding_words(stream, f.first_index + first, param_words);
  }
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    const float g = grad[i] * grad_factor;
    const float new_m = fmaf(f.beta1, to_float(m[i]), f.one_minus_beta1 * g);
    const float new_v = fmaf(f.beta2, to_float(v[i]), f.one_minus_beta2 * (g * g));
    const float update = f.step_size * new_m / fmaf(sqrtf(new_v), f.root_correction, f.eps);
    param[i] = stored<Param>(fmaf(to_float(param[i]), f.decay, -update), param_words[i] >> 16);
    m[i] = stored<Moment>(new_m, words[i] >> 16);
    v[i] = stored<Moment>(new_v, words[i] & 0xFFFFU);
  }
  if constexpr (sizeof(Param) == 2) {
    store_pack(buffers.param + first, param);  // what the next pass reads
  } else {
    store_pack_streaming(buffers.param + first, param);
  }
  store_pack_streaming(buffers.m + first, m);
  store_pack_streaming(buffers.v + first, v);
  if constexpr (!std::is_same_v<Working, NoWorking>) {
    Pack<Working, Width> working;
#pragma unroll
    for (int i = 0; i < Width; ++i) working[i] = from_float<Working>(param[i]);
    store_pack(buffers.working + first, working);
  }
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <typename Param, typename Moment, typename Working, int Width>
__global__ __launch_bounds__(kThreads) void adamw_kernel(Buffers<Param, Moment, Working> buffers, Factors f) {
  struct Shared {
    float grad_factor;
  };
  auto& shared = static_smem<Shared>();
  const float norm = *buffers.norm;
  // Division in double is slow on consumer GPUs: once a block.
  if (threadIdx.x == 0) shared.grad_factor = grad_factor(f, norm);
  __syncthreads();
  if (!(fabsf(norm) < INFINITY)) return;
  const float factor = shared.grad_factor;
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = buffers.count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    update<Param, Moment, Working, Width>(buffers, f, factor, i * Width);
  }
  if (thread < buffers.count % Width) update<Param, Moment, Working, 1>(buffers, f, factor, num_packs * Width + thread);
}

Factors factors_of(const AdamWScalars& scalars) {
  const double learning_rate = scalars.learning_rate;
  return {
      .grad_scale = scalars.grad_scale,
      .max_norm = scalars.max_norm,
      .beta1 = scalars.beta1,
      .beta2 = scalars.beta2,
      .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(scalars.beta1)),
      .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(scalars.beta2)),
      .decay = static_cast<float>(1.0 - learning_rate * static_cast<double>(scalars.weight_decay)),
      .step_size = static_cast<float>(learning_rate / scalars.bias_correction1),
      .root_correction = static_cast<float>(1.0 / std::sqrt(scalars.bias_correction2)),
      .eps = scalars.eps,
      .rounding = scalars.rounding,
      .first_index = scalars.first_index,
  };
}

/// Whether packs of kWidth elements fit the address.
template <typename T>
bool fits(const T* address) {
  return reinterpret_cast<std::uintptr_t>(address) % (kWidth * sizeof(T)) == 0;
}

template <typename Param, typename Moment, typename Working>
void launch_adamw(const LaunchContext& context, const AdamWTensors& tensors, const AdamWScalars& scalars) {
  const Buffers<Param, Moment, Working> buffers{
      .param = static_cast<Param*>(tensors.param),
      .working = static_cast<Working*>(tensors.working),
      .m = static_cast<Moment*>(tensors.m),
      .v = static_cast<Moment*>(tensors.v),
      .grad = tensors.grad,
      .norm = tensors.norm,
      .count = tensors.count,
  };
  const bool packs = fits(buffers.param) && fits(buffers.working) && fits(buffers.m) && fits(buffers.v) && fits(buffers.grad);
  const unsigned blocks = grid_stride_blocks(context, packs ? (tensors.count + kWidth - 1) / kWidth : tensors.count, kThreads);
  launch(context, blocks, kThreads, 0,
         packs ? adamw_kernel<Param, Moment, Working, kWidth> : adamw_kernel<Param, Moment, Working, 1>, buffers,
         factors_of(scalars));
}

template <typename Moment>
void launch_adamw(const LaunchContext& context, const AdamWTensors& tensors, const AdamWScalars& scalars) {
  if (tensors.param_dtype == DType::kBFloat16) {
    launch_adamw<__nv_bfloat16, Moment, NoWorking>(context, tensors, scalars);
  } else if (tensors.working == nullptr) {
    launch_adamw<float, Moment, NoWorking>(context, tensors, scalars);
  } else if (tensors.working_dtype == DType::kBFloat16) {
    launch_adamw<float, Moment, __nv_bfloat16>(context, tensors, scalars);
  } else if (tensors.working_dtype == DType::kFloat16) {
    launch_adamw<float, Moment, __half>(context, tensors, scalars);
  } else {
    throw std::logic_error("adamw: a working copy is bfloat16 or float16");
  }
}

}  // namespace

void adamw_update(const LaunchContext& context, const AdamWTensors& tensors, const AdamWScalars& scalars) {
  if (tensors.count == 0) return;
  if (tensors.moment_dtype == DType::kFloat32) {
    launch_adamw<float>(context, tensors, scalars);
  } else if (tensors.moment_dtype == DType::kBFloat16) {
    launch_adamw<__nv_bfloat16>(context, tensors, scalars);
  } else {
    throw std::logic_error("adamw: moments are float32 or bfloat16");
  }
}

}  // namespace virgil::cuda
