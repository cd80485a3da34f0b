// The sum of token and position embeddings; the way back is in embedding_backward.cu. A warp a row.
//
// Floor, in bytes an element of n bytes: 2n, a row of wte read and a row of out written; wpe comes from the caches.
#include "cuda/kernels/embedding.h"

#include <cmath>
#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/random.h"

namespace virgil::cuda {

namespace {

constexpr int kWarps = 8;

template <typename T>
struct Operands {
  T* out;
  const std::int32_t* tokens;
  const T* wte;
  const T* wpe;  // null: none
  EmbeddingSizes sizes;
  DeviceDropout dropout;
};

template <typename T, int Width>
__global__ __launch_bounds__(kWarps* kWarpSize) void embedding_forward_kernel(Operands<T> op) {
  const std::int64_t C = op.sizes.channels;
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + warp_id();
  if (row >= op.sizes.batch * op.sizes.length) return;
  const std::int32_t token = op.tokens[row];
  // The data layer guarantees the range; a token outside shows itself as NaN, and reads nothing.
  const bool known = token >= 0 && token < op.sizes.vocab_rows;
  const T* token_row = op.wte + (known ? token : 0) * C;
  const T* position_row = op.wpe == nullptr ? nullptr : op.wpe + (op.sizes.first_position + row % op.sizes.length) * C;
  const std::uint64_t dropout_base = dropout_row_base(op.dropout, row, op.sizes.length, C);
  for (std::int64_t c = lane_id() * Width; c < C; c += kWarpSize * Width) {
    const Pack<T, Width> a = load_pack_readonly<T, Width>(token_row + c);
    float sum[Width];
#pragma unroll
    for (int i = 0; i < Width; ++i) sum[i] = known ? to_float(a[i]) : NAN;
    if (position_row != nullptr) {
      const Pack<T, Width> b = load_pack_readonly<T, Width>(position_row + c);
#pragma unroll
      for (int i = 0; i < Width; ++i) sum[i] += to_float(b[i]);
    }
    if (op.dropout.enabled) {
      float factors[Width];
      dropout_factors_at<Width>(op.dropout, dropout_base + static_cast<std::uint64_t>(c), factors);
#pragma unroll
      for (int i = 0; i < Width; ++i) sum[i] *= factors[i];
    }
    Pack<T, Width> out;
#pragma unroll
    for (int i = 0; i < Width; ++i) out[i] = from_float<T>(sum[i]);
    store_pack(op.out + row * C + c, out);
  }
}

}  // namespace

void embedding_forward(const LaunchContext& context, DType dtype, void* out, const std::int32_t* tokens, const void* wte,
                       const void* wpe, const EmbeddingSizes& sizes, const Dropout& dropout) {
  const std::int64_t rows = sizes.batch * sizes.length;
  if (rows == 0 || sizes.channels == 0) return;
  with_device_type(dtype, [&](auto element) {
    using T = decltype(element);
    const Operands<T> op{static_cast<T*>(out),       tokens, static_cast<const T*>(wte),
                         static_cast<const T*>(wpe), sizes,  DeviceDropout(dropout, context.place)};
    const bool packs = packs_fit<T>(sizes.channels, op.out, op.wte, op.wpe);
    launch(context, blocks_for(rows, kWarps), kWarps * kWarpSize, 0,
           packs ? embedding_forward_kernel<T, Pack<T>::kSize> : embedding_forward_kernel<T, 1>, op);
  });
}

}  // namespace virgil::cuda
