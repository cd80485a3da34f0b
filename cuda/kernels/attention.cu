// Causal attention: chooses the kernels of attention_forward.cu and attention_backward.cu (tensor cores) or of
// attention_simt_*.cu, and prepares what the backward pass knows of each row.
#include "cuda/kernels/attention.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/kernels/attention_problem.h"
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

static_assert(sizeof(RowStatistics) == AttentionStatistics::kRowBytes);

std::int64_t padded_length(std::int64_t length) { return AttentionStatistics::padded_length(length); }

std::int64_t num_statistics(const AttentionSizes& sizes) { return sizes.batch * sizes.num_heads * padded_length(sizes.length); }

bool has_tensor_cores(const LaunchContext& context, DType dtype) {
  return dtype != DType::kFloat32 && context.compute_capability >= 80;
}

constexpr int kThreads = 256;
constexpr int kLanesPerRow = 8;

/// statistics (B, NH, padded_length): lse in base 2 and delta, the dot product of dout and out; HS products a row. Rows beyond
/// the length become {inf, 0}.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    attention_statistics_kernel(RowStatistics* __restrict__ statistics, const T* __restrict__ dout, const T* __restrict__ out,
                                const float* __restrict__ lse, BackwardProblem p) {
  const int b = static_cast<int>(blockIdx.z), h = static_cast<int>(blockIdx.y);
  const std::int64_t head = static_cast<std::int64_t>(b) * p.num_heads + h;
  const int row = static_cast<int>((blockIdx.x * kThreads + threadIdx.x) / kLanesPerRow);
  const int lane = static_cast<int>(threadIdx.x) % kLanesPerRow;
  const bool exists = row < p.length;
  const std::int64_t at = p.out_strides.offset(b, h) + row * p.out_strides.row;
  float delta = 0;
  if (exists) {
#pragma unroll 1  // a head has one to four packs a lane: more loads under way cost registers and bring nothing
    for (int d = lane * Pack<T>::kSize; d < p.head_size; d += kLanesPerRow * Pack<T>::kSize) {
      const Pack<T> dout_pack = load_pack_readonly(dout + at + d), out_pack = load_pack_streaming(out + at + d);
#pragma unroll
      for (int i = 0; i < Pack<T>::kSize; ++i) delta = fmaf(to_float(dout_pack[i]), to_float(out_pack[i]), delta);
    }
  }
#pragma unroll
  for (int offset = kLanesPerRow / 2; offset > 0; offset /= 2) delta += __shfl_xor_sync(kFullMask, delta, offset);
  if (lane == 0) {
    statistics[head * p.padded_length + row] =
        exists ? RowStatistics{lse[head * p.length + row] * kLog2E, delta} : RowStatistics{INFINITY, 0};
  }
}

}  // namespace

void attention_forward(const LaunchContext& context, DType dtype, const ForwardProblem& problem) {
  if (has_tensor_cores(context, dtype)) {
    attention_forward_mma(context, dtype, problem);
  } else {
    attention_forward_simt(context, dtype, problem);
  }
}

void attention_forward(const LaunchContext& context, const AttentionSizes& sizes, void* out, float* lse, const void* qkv,
                       const Dropout& dropout, std::span<std::byte> /*workspace*/) {
  const auto [B, T, NH, NKV, HS, dtype, window] = sizes;
  const auto* bytes = static_cast<const std::byte*>(qkv);
  const auto element_bytes = static_cast<std::int64_t>(dtype == DType::kFloat32 ? sizeof(float) : sizeof(__half));
  const ForwardProblem problem{.out = out,
                               .lse = lse,
                               .q = bytes,
                               .k = bytes + sizes.keys_offset() * element_bytes,
                               .v = bytes + sizes.values_offset() * element_bytes,
                               .out_strides = row_strides(T, sizes.channels(), HS),
                               .q_strides = row_strides(T, sizes.qkv_width(), HS),
                               .kv_strides = row_strides(T, sizes.qkv_width(), HS),
                               .batch = B,
                               .num_heads = static_cast<int>(NH),
                               .group = static_cast<int>(sizes.group()),
                               .head_size = static_cast<int>(HS),
                               .rows = static_cast<int>(T),
                               .first_position = 0,
                               .window = window_of(window, T),
                               .scale_log2 = attention_scale_log2(HS),
                               .dropout = DeviceDropout(dropout, context.place)};
  attention_forward(context, dtype, problem);
}

void attention_backward(const LaunchContext& context, const AttentionSizes& sizes, void* dqkv, const void* dout,
                        const void* out, const void* qkv, const float* lse, const Dropout& dropout,
                        std::span<std::byte> workspace) {
  const auto [B, T, NH, NKV, HS, dtype, window] = sizes;
  auto* statistics = workspace_as<RowStatistics>(workspace, num_statistics(sizes));
  const BackwardProblem problem{.dqkv = dqkv,
                                .qkv = qkv,
                                .dout = dout,
                                .statistics = statistics,
                                .padded_length = padded_length(T),
                                .qkv_strides = row_strides(T, sizes.qkv_width(), HS),
                                .out_strides = row_strides(T, sizes.channels(), HS),
                                .keys_offset = sizes.keys_offset(),
                                .values_offset = sizes.values_offset(),
                                .batch = B,
                                .num_heads = static_cast<int>(NH),
                                .group = static_cast<int>(sizes.group()),
                                .head_size = static_cast<int>(HS),
                                .length = static_cast<int>(T),
                                .window = window_of(window, T),
                                .scale = attention_scale(HS),
                                .scale_log2 = attention_scale_log2(HS),
                                .dropout = DeviceDropout(dropout, context.place)};
  with_device_type(dtype, [&]<typename Element>(Element) {
    const dim3 grid = attention_grid(problem.padded_length * kLanesPerRow / kThreads, NH, B);
    launch(context, grid, kThreads, 0, attention_statistics_kernel<Element>, statistics, static_cast<const Element*>(dout),
           static_cast<const Element*>(out), lse, problem);
  });
  if (has_tensor_cores(context, dtype)) {
    attention_backward_mma(context, dtype, problem);
  } else {
    attention_backward_simt(context, dtype, problem);
  }
}

}  // namespace virgil::cuda
