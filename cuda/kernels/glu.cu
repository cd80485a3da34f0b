// Gated linear units, elementwise.
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
  const T* gate;
  const T* up;
};

template <typename T>
struct Backward {
  T* dgate;
  T* dup;
  const T* dout;
  const T* gate;
  const T* up;
};

template <typename Function, typename T, int Width>
__device__ __forceinline__ void glu_pack(const Forward<T>& op, std::int64_t first) {
  Pack<T, Width> gate = load_pack_streaming<T, Width>(op.gate + first);
  const Pack<T, Width> up = load_pack_streaming<T, Width>(op.up + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    gate[i] = from_float<T>(Function::template forward<T>(to_float(gate[i])) * to_float(up[i]));
  }
  store_pack(op.out + first, gate);
}

template <typename Function, typename T, int Width>
__device__ __forceinline__ void glu_pack(const Backward<T>& op, std::int64_t first) {
  Pack<T, Width> gate = load_pack_streaming<T, Width>(op.gate + first);
  Pack<T, Width> up = load_pack_streaming<T, Width>(op.up + first);
  const Pack<T, Width> dout = load_pack_streaming<T, Width>(op.dout + first);
#pragma unroll
  for (int i = 0; i < Width; ++i) {
    const float g = to_float(gate[i]), d = to_float(dout[i]);
    gate[i] = from_float<T>(d * to_float(up[i]) * Function::template slope<T>(g));
    up[i] = from_float<T>(d * Function::template forward<T>(g));
  }
  store_pack(op.dgate + first, gate);
  store_pack(op.dup + first, up);
}

/// Width elements a thread and step; the first threads add the count % Width that remain.
template <typename Function, typename T, int Width, template <typename> typename Operands>
__global__ __launch_bounds__(kThreads) void glu_kernel(Operands<T> op, std::int64_t count) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t num_packs = count / Width;
  for (std::int64_t i = thread; i < num_packs; i += std::int64_t{gridDim.x} * kThreads) {
    glu_pack<Function, T, Width>(op, i * Width);
  }
  if (thread < count % Width) glu_pack<Function, T, 1>(op, num_packs * Width + thread);
}

template <typename Function, typename T, template <typename> typename Operands>
void launch_glu(const LaunchContext& context, const Operands<T>& op, bool packs, std::int64_t count) {
  constexpr int kSize = Pack<T>::kSize;
  const unsigned blocks = grid_stride_blocks(context, packs ? (count + kSize - 1) / kSize : count, kThreads);
  launch(context, blocks, kThreads, 0, packs ? glu_kernel<Function, T, kSize, Operands> : glu_kernel<Function, T, 1, Operands>,
         op, count);
}

template <typename T, template <typename> typename Operands>
void launch_glu(const LaunchContext& context, GluGate act, const Operands<T>& op, bool packs, std::int64_t count) {
  if (act == GluGate::kSilu) {
    launch_glu<Silu>(context, op, packs, count);
  } else {
    launch_glu<Gelu>(context, op, packs, count);
  }
}

}  // namespace

void glu_forward(const LaunchContext& context, DType dtype, GluGate act, void* out, const void* gate, const void* up,
                 std::int64_t count) {
  if (count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Forward<T> op{static_cast<T*>(out), static_cast<const T*>(gate), static_cast<const T*>(up)};
    launch_glu(context, act, op, packs_fit<T>(0, op.out, op.gate, op.up), count);
  });
}

void glu_backward(const LaunchContext& context, DType dtype, GluGate act, const GluGradients& operands) {
  if (operands.count == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Backward<T> op{static_cast<T*>(operands.dgate), static_cast<T*>(operands.dup), static_cast<const T*>(operands.dout),
                         static_cast<const T*>(operands.gate), static_cast<const T*>(operands.up)};
    launch_glu(context, act, op, packs_fit<T>(0, op.dgate, op.dup, op.dout, op.gate, op.up), operands.count);
  });
}

}  // namespace virgil::cuda
