// Gated linear units: of each row of gates and values side by side.
//
// Floor, in bytes an element of n bytes: forward 3n, backward 5n.
#include "cuda/kernels/glu.h"

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/kernels/sigmoid_functions.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

template <typename T>
struct Forward {
  T* out;
  const T* inp;
};

template <typename T>
struct Backward {
  T* dinp;
  const T* dout;
  const T* inp;
};

/// A pack of columns from `column` on of row `row`.
template <typename Function, typename T, int Width>
__device__ __forceinline__ void glu_pack(const Forward<T>& op, std::int64_t row, std::int64_t column, std::int64_t channels) {
  const T* at = op.inp + row * 2 * channels + column;
  Pack<T, Width> gate = load_pack_streaming<T, Width>(at);
  const Pack<T, Width> up = load_pack_streaming<T, Width>(at + channels);
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    gate[i] = from_float<T>(Function::template forward<T>(to_float(gate[i])) * to_float(up[i]));
  }
  store_pack(op.out + row * channels + column, gate);
}

template <typename Function, typename T, int Width>
__device__ __forceinline__ void glu_pack(const Backward<T>& op, std::int64_t row, std::int64_t column, std::int64_t channels) {
  const std::int64_t at = row * 2 * channels + column;
  Pack<T, Width> gate = load_pack_streaming<T, Width>(op.inp + at);
  Pack<T, Width> up = load_pack_streaming<T, Width>(op.inp + at + channels);
  const Pack<T, Width> dout = load_pack_streaming<T, Width>(op.dout + row * channels + column);
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    const float g = to_float(gate[i]), d = to_float(dout[i]);
    gate[i] = from_float<T>(d * to_float(up[i]) * Function::template slope<T>(g));
    up[i] = from_float<T>(d * Function::template forward<T>(g));
  }
  store_pack(op.dinp + at, gate);
  store_pack(op.dinp + at + channels, up);
}

/// Width columns a thread and step. Row and column are carried from step to step: one division a thread.
template <typename Function, typename T, int Width, template <typename> typename Operands>
__global__ __launch_bounds__(kThreads) void glu_kernel(Operands<T> op, GluSizes sizes) {
  const std::int64_t packs = sizes.channels / Width;  // of a row
  const std::int64_t first = std::int64_t{blockIdx.x} * kThreads + threadIdx.x, step = std::int64_t{gridDim.x} * kThreads;
  const std::int64_t step_rows = step / packs, step_packs = step % packs;
  std::int64_t row = first / packs, pack = first % packs;
  while (row < sizes.rows) {
    glu_pack<Function, T, Width>(op, row, pack * Width, sizes.channels);
    row += step_rows;
    pack += step_packs;
    if (pack >= packs) {
      pack -= packs;
      ++row;
    }
  }
}

template <typename Function, typename T, template <typename> typename Operands>
void launch_glu(const LaunchContext& context, const Operands<T>& op, bool packs, const GluSizes& sizes) {
  constexpr int kSize = Pack<T>::kSize;
  const std::int64_t count = sizes.rows * sizes.channels;
  const unsigned blocks = grid_stride_blocks(context, packs ? count / kSize : count, kThreads);
  launch(context, blocks, kThreads, 0, packs ? glu_kernel<Function, T, kSize, Operands> : glu_kernel<Function, T, 1, Operands>,
         op, sizes);
}

template <typename T, template <typename> typename Operands>
void launch_glu(const LaunchContext& context, GluGate act, const Operands<T>& op, bool packs, const GluSizes& sizes) {
  if (act == GluGate::kSilu) {
    launch_glu<Silu>(context, op, packs, sizes);
  } else {
    launch_glu<Gelu>(context, op, packs, sizes);
  }
}

}  // namespace

void glu_forward(const LaunchContext& context, DType dtype, GluGate act, void* out, const void* inp, const GluSizes& sizes) {
  if (sizes.rows == 0 || sizes.channels == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Forward<T> op{static_cast<T*>(out), static_cast<const T*>(inp)};
    launch_glu(context, act, op, packs_fit<T>(sizes.channels, op.out, op.inp), sizes);
  });
}

void glu_backward(const LaunchContext& context, DType dtype, GluGate act, void* dinp, const void* dout, const void* inp,
                  const GluSizes& sizes) {
  if (sizes.rows == 0 || sizes.channels == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Backward<T> op{static_cast<T*>(dinp), static_cast<const T*>(dout), static_cast<const T*>(inp)};
    launch_glu(context, act, op, packs_fit<T>(sizes.channels, op.dinp, op.dout, op.inp), sizes);
  });
}

}  // namespace virgil::cuda
