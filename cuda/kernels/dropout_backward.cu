// The way back through the dropout of a residual branch, elementwise: the mask is drawn again, not stored.
//
// Floor, in bytes an element of n bytes: 2n, and a quarter of a Philox block.

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/random.h"
#include "cuda/kernels/norm.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = 256;

template <typename T>
struct Operands {
  T* dinp;
  const T* dout;
  std::int64_t rows;
  std::int64_t length;
  std::int64_t channels;  // a multiple of Width
  DeviceDropout dropout;
};

template <typename T, int Width>
__global__ __launch_bounds__(kThreads) void dropout_backward_kernel(Operands<T> op) {
  const std::int64_t num_packs = op.rows * op.channels / Width;
  for (std::int64_t p = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; p < num_packs;
       p += std::int64_t{gridDim.x} * kThreads) {
    const std::int64_t i = p * Width;
    // Where packs fit, rows follow each other without gaps in the numbering too: no division needed.
    const std::int64_t row = Width > 1 ? 0 : i / op.channels;
    const std::uint64_t base = dropout_row_base(op.dropout, row, op.length, op.channels);
    float factors[Width];
    dropout_factors_at<Width>(op.dropout, base + static_cast<std::uint64_t>(i - row * op.channels), factors);
    Pack<T, Width> x = load_pack_streaming<T, Width>(op.dout + i);
#pragma unroll
    for (int k = 0; k < Width; ++k) x[k] = from_float<T>(to_float(x[k]) * factors[k]);
    store_pack(op.dinp + i, x);
  }
}

}  // namespace

void dropout_backward(const LaunchContext& context, DType dtype, void* dinp, const void* dout, std::int64_t rows,
                      std::int64_t length, std::int64_t channels, const Dropout& dropout) {
  if (rows == 0 || channels == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kSize = Pack<T>::kSize;
    const Operands<T> op{
        static_cast<T*>(dinp), static_cast<const T*>(dout), rows, length, channels, DeviceDropout(dropout, context.place)};
    const bool packs = packs_fit<T>(channels, op.dinp, op.dout);
    const unsigned blocks = grid_stride_blocks(context, rows * channels / (packs ? kSize : 1), kThreads);
    launch(context, blocks, kThreads, 0, packs ? dropout_backward_kernel<T, kSize> : dropout_backward_kernel<T, 1>, op);
  });
}

}  // namespace virgil::cuda
