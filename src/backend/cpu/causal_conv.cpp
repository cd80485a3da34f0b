#include "backend/cpu/causal_conv.h"

#include "backend/cpu/column_sums.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/row_pieces.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/causal_conv.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// out (C) = row + sum over k = 1..count of weight[k - 1] * (the row k steps away).
template <typename T>
HWY_INLINE void conv_row(const ConvRow<T>& op, const T* weight, std::int64_t channels) {
  for_each_vector(static_cast<std::size_t>(channels), [&](std::size_t c, auto part) HWY_ATTR {
    FloatVector sum = part.load(op.row + c);
    for (std::int64_t k = 1; k <= op.count; ++k) {
      sum = hn::MulAdd(part.load(weight + (k - 1) * channels + c), part.load(op.row + k * op.step + c), sum);
    }
    part.store(sum, op.out + c);
  });
}

template <typename T>
HWY_INLINE void conv_weight_sums(const ConvWeightSums<T>& op, std::int64_t channels) {
  for_each_vector(static_cast<std::size_t>(channels), [&](std::size_t c, auto part) HWY_ATTR {
    const FloatVector x = part.load(op.inp + c);
    for (std::int64_t k = 1; k <= op.count; ++k) {
      float* sums = op.dweight + (k - 1) * channels + c;
      part.store(hn::MulAdd(x, part.load(op.dout + k * channels + c), part.load(sums)), sums);
    }
  });
}

HWY_ATTR void conv_row_float32(const ConvRow<float>& op, const float* weight, std::int64_t channels) {
  conv_row(op, weight, channels);
}
HWY_ATTR void conv_row_bfloat16(const ConvRow<BFloat16>& op, const BFloat16* weight, std::int64_t channels) {
  conv_row(op, weight, channels);
}
HWY_ATTR void conv_weight_sums_float32(const ConvWeightSums<float>& op, std::int64_t channels) {
  conv_weight_sums(op, channels);
}
HWY_ATTR void conv_weight_sums_bfloat16(const ConvWeightSums<BFloat16>& op, std::int64_t channels) {
  conv_weight_sums(op, channels);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(conv_row);
VIRGIL_EXPORT_PAIR(conv_weight_sums);

namespace {

template <typename T>
void conv_forward(const ops::CausalConvForward& op, const ops::CausalConvSizes& sizes, const CpuContext& context) {
  const std::int64_t C = sizes.channels;
  parallel_ranges(sizes.batch * sizes.length, ceil_div(kElementGrain, C), context.num_threads,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t row = begin; row < end; ++row) {
                      const std::int64_t before = std::min(sizes.taps, row % sizes.length);
                      VIRGIL_DISPATCH_PAIR(T, conv_row)
                      ({op.out.as<T>() + row * C, op.inp.as<T>() + row * C, -C, before}, op.weight.as<T>(), C);
                    }
                  });
}

/// The pieces of column sums, each with sums of its own, which are then added in order.
template <typename T>
void conv_backward(const ops::CausalConvBackward& op, const ops::CausalConvSizes& sizes, const CpuContext& context) {
  const std::int64_t C = sizes.channels;
  const std::int64_t weights = sizes.taps * C;
  const RowPieces pieces(sizes.batch * sizes.length);
  const auto partials = workspace_as<float>(context, op.kName, static_cast<std::size_t>(pieces.count() * weights));
  parallel_ranges(pieces.count(), 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      float* partial = partials.data() + piece * weights;
      std::fill_n(partial, weights, 0.0F);
      for (std::int64_t row = pieces.begin(piece); row < pieces.end(piece); ++row) {
        const std::int64_t after = std::min(sizes.taps, sizes.length - 1 - row % sizes.length);
        const T* dout = op.dout.as<T>() + row * C;
        VIRGIL_DISPATCH_PAIR(T, conv_row)({op.dinp.as<T>() + row * C, dout, C, after}, op.weight.as<T>(), C);
        VIRGIL_DISPATCH_PAIR(T, conv_weight_sums)({partial, op.inp.as<T>() + row * C, dout, after}, C);
      }
    }
  });
  add_partial_rows(op.dweight.as<float>(), partials.data(), weights, pieces.count(), weights, context);
}

/// New rows join the cache first: then all that they are joined with lies there.
template <typename T>
void conv_decode(const ops::CausalConvDecode& op, const ops::CausalConvSizes& sizes, const CpuContext& context) {
  const std::int64_t C = sizes.channels;
  const std::int64_t new_elements = sizes.length * C;
  if (new_elements == 0) return;
  const std::int64_t L = op.cache.shape()[1];
  parallel_ranges(sizes.batch, ceil_div(kElementGrain, new_elements), context.num_threads,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t s = begin; s < end; ++s) {
                      T* rows = op.cache.as<T>() + (s * L + op.first_position) * C;
                      std::copy_n(op.inp.as<T>() + s * new_elements, new_elements, rows);
                      for (std::int64_t i = 0; i < sizes.length; ++i) {
                        const std::int64_t before = std::min(sizes.taps, op.first_position + i);
                        VIRGIL_DISPATCH_PAIR(T, conv_row)
                        ({op.out.as<T>() + s * new_elements + i * C, rows + i * C, -C, before}, op.weight.as<T>(), C);
                      }
                    }
                  });
}

}  // namespace

void run(const ops::CausalConvForward& op, const CpuContext& context) {
  const ops::CausalConvSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) { conv_forward<T>(op, sizes, context); });
}

void run(const ops::CausalConvBackward& op, const CpuContext& context) {
  const ops::CausalConvSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) { conv_backward<T>(op, sizes, context); });
}

void run(const ops::CausalConvDecode& op, const CpuContext& context) {
  const ops::CausalConvSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) { conv_decode<T>(op, sizes, context); });
}

}  // namespace virgil::cpu
#endif
