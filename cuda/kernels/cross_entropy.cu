// Softmax cross-entropy, one block a row.
//
// The first pass over a row keeps a running maximum and a sum of exponentials scaled to it (Milakov, Gimelshein: "Online
// normalizer calculation for softmax", 2018), the second turns the logits into their gradient in place. The second goes
// backwards: what the first read last is still in the caches.
//
// Floor, in bytes a logit of n bytes: forward n, with the gradient 2n. A row of 50304 bfloat16 logits is 100 KB and two blocks
// an SM work at a time, so the second read comes from L1 or L2.
#include "cuda/kernels/cross_entropy.h"

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "cuda/device/pack.h"
#include "cuda/device/ptx.h"
#include "cuda/device/reduce.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 512;

struct Rows {
  std::int64_t vocab_padded;
  std::int64_t vocab_size;
  float grad_scale;
};

struct Storage {
  BlockReduceStorage<float, kThreads> reduce;
};

/// e^x. The quick form for 16-bit logits is off by 1.3 |x| 2^-24 more.
template <typename T>
__device__ __forceinline__ float exponential(float x) {
  constexpr float kLog2E = 1.44269504F;
  if constexpr (sizeof(T) == 2) {
    return ptx::exp2_approx(x * kLog2E);
  } else {
    return expf(x);
  }
}

/// A maximum and the sum of e^(x - shift) over some logits; shift is the maximum, or 0 while that is -infinity, so that a row
/// part of -infinities adds zeros, not NaN.
struct OnlineSum {
  float max = -INFINITY;
  float sum = 0;
  [[nodiscard]] __device__ __forceinline__ float shift() const { return max == -INFINITY ? 0.0F : max; }
};

template <typename T, int Width>
__device__ __forceinline__ void add_pack(OnlineSum& online, const Pack<T, Width>& logits, std::int64_t num_valid) {
  float x[Width];
  float max = online.max;
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    x[i] = i < num_valid ? to_float(logits[i]) : -INFINITY;
    max = fmaxf(max, x[i]);
  }
  const float old_max = online.max;
  online.max = max;
  const float shift = online.shift();
  float added = 0;
#pragma unroll
  for (int i = 0; i < Width; ++i) added += exponential<T>(x[i] - shift);
  // Spelled out, so that the losses have the same bits with and without gradient.
  online.sum = fmaf(online.sum, exponential<T>(old_max - shift), added);
}

template <typename T, int Width, bool Gradient>
__device__ __forceinline__ OnlineSum sum_row(const T* row, std::int64_t vocab_size, Storage& storage) {
  OnlineSum online;
#pragma unroll 2
  for (std::int64_t c = std::int64_t{threadIdx.x} * Width; c < vocab_size; c += kThreads * Width) {
    // Without a gradient nothing is read again.
    add_pack(online, Gradient ? load_pack<T, Width>(row + c) : load_pack_streaming<T, Width>(row + c), vocab_size - c);
  }
  OnlineSum total;
  total.max = block_max(online.max, storage.reduce);
  total.sum = block_sum(online.sum * exponential<T>(online.max - total.shift()), storage.reduce);
  return total;
}

/// row = (softmax - onehot(target)) * grad_scale, where factor = grad_scale / sum.
template <typename T, int Width>
__device__ __forceinline__ void write_gradient(T* row, const Rows& rows, std::int32_t target, float shift, float factor) {
  constexpr std::int64_t kStride = kThreads * Width;
  const std::int64_t first = std::int64_t{threadIdx.x} * Width;
  if (first >= rows.vocab_padded) return;
  const std::int64_t last = first + (rows.vocab_padded - 1 - first) / kStride * kStride;
#pragma unroll 2
  for (std::int64_t c = last; c >= 0; c -= kStride) {
    Pack<T, Width> pack = load_pack_streaming<T, Width>(row + c);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      float d = exponential<T>(to_float(pack[i]) - shift) * factor;
      if (c + i == target) d -= rows.grad_scale;
      pack[i] = from_float<T>(c + i < rows.vocab_size ? d : 0.0F);
    }
    store_pack_streaming(row + c, pack);
  }
}

template <typename T, int Width>
__device__ __forceinline__ void clear_row(T* row, std::int64_t vocab_padded) {
  Pack<T, Width> zeros;
#pragma unroll
  for (int i = 0; i < Width; ++i) zeros[i] = from_float<T>(0.0F);
  for (std::int64_t c = std::int64_t{threadIdx.x} * Width; c < vocab_padded; c += kThreads * Width) {
    store_pack_streaming(row + c, zeros);
  }
}

/// Loss of row blockIdx.x. Logits is T, overwritten by the gradient, or const T.
template <typename Logits, typename T, int Width>
__global__ __launch_bounds__(kThreads, 2) void cross_entropy_kernel(float* losses, Logits* logits, const std::int32_t* targets,
                                                                    Rows rows) {
  constexpr bool kGradient = !std::is_const_v<Logits>;
  auto& storage = static_smem<Storage>();
  Logits* row = logits + std::int64_t{blockIdx.x} * rows.vocab_padded;
  const std::int32_t target = targets[blockIdx.x];
  if (target < 0) {  // the same for the whole block
    if constexpr (kGradient) clear_row<T, Width>(row, rows.vocab_padded);
    if (threadIdx.x == 0) losses[blockIdx.x] = 0.0F;
    return;
  }
  // The data layer guarantees the range; a target outside shows itself as NaN.
  const float target_logit = target < rows.vocab_size ? to_float(row[target]) : NAN;
  const OnlineSum total = sum_row<T, Width, kGradient>(row, rows.vocab_size, storage);
  if constexpr (kGradient) {
    // sum_row ended with a barrier: all have read the target's logit.
    write_gradient<T, Width>(row, rows, target, total.shift(), rows.grad_scale / total.sum);
  }
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(total.sum) + (total.max - target_logit);
}

template <typename Logits, typename T>
void run(const LaunchContext& context, float* losses, Logits* logits, const std::int32_t* targets, std::int64_t num_rows,
         const Rows& rows) {
  constexpr int kSize = Pack<T>::kSize;
  const bool packs = packs_fit<T>(rows.vocab_padded, logits);
  launch(context, blocks_for(num_rows, 1), kThreads, 0,
         packs ? cross_entropy_kernel<Logits, T, kSize> : cross_entropy_kernel<Logits, T, 1>, losses, logits, targets, rows);
}

}  // namespace

void cross_entropy_forward(const LaunchContext& context, DType dtype, float* losses, const void* logits,
                           const std::int32_t* targets, std::int64_t rows, std::int64_t vocab_padded, std::int64_t vocab_size) {
  if (rows == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    run<const T, T>(context, losses, static_cast<const T*>(logits), targets, rows, {vocab_padded, vocab_size, 0.0F});
  });
}

void cross_entropy_forward_backward(const LaunchContext& context, DType dtype, float* losses, void* logits,
                                    const std::int32_t* targets, std::int64_t rows, std::int64_t vocab_padded,
                                    std::int64_t vocab_size, float grad_scale) {
  if (rows == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    run<T, T>(context, losses, static_cast<T*>(logits), targets, rows, {vocab_padded, vocab_size, grad_scale});
  });
}

}  // namespace virgil::cuda
