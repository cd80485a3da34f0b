#include "backend/cpu/column_sums.h"

#include <algorithm>
#include <cstddef>

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/row_pieces.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/column_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// out (n) += the sum of `count` rows of n elements, `stride` apart. Four rows at a time spare three of four passes over out.
template <typename T>
HWY_INLINE void add_rows(float* HWY_RESTRICT out, const T* HWY_RESTRICT rows, std::int64_t stride, std::int64_t count,
                         std::int64_t n) {
  std::int64_t row = 0;
  for (; row + 4 <= count; row += 4) {
    const T* r = rows + row * stride;
    for_each_vector(static_cast<std::size_t>(n), [&](std::size_t i, auto part) HWY_ATTR {
      const FloatVector first = hn::Add(part.load(r + i), part.load(r + stride + i));
      const FloatVector second = hn::Add(part.load(r + 2 * stride + i), part.load(r + 3 * stride + i));
      part.store(hn::Add(part.load(out + i), hn::Add(first, second)), out + i);
    });
  }
  for (; row < count; ++row) {
    const T* r = rows + row * stride;
    for_each_vector(static_cast<std::size_t>(n), [&](std::size_t i, auto part) HWY_ATTR {
      part.store(hn::Add(part.load(out + i), part.load(r + i)), out + i);
    });
  }
}

HWY_ATTR void add_rows_float32(float* out, const float* rows, std::int64_t stride, std::int64_t count, std::int64_t n) {
  add_rows(out, rows, stride, count, n);
}
HWY_ATTR void add_rows_bfloat16(float* out, const BFloat16* rows, std::int64_t stride, std::int64_t count, std::int64_t n) {
  add_rows(out, rows, stride, count, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(add_rows);

std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) {
  return checked_multiply(checked_multiply(RowPieces(rows).count(), channels), static_cast<std::int64_t>(sizeof(float)));
}

namespace {

template <typename T>
void bias_backward(float* dbias, const T* dout, std::int64_t rows, std::int64_t channels, const CpuContext& context) {
  const RowPieces pieces(rows);
  const auto partials = workspace_as<float>(context, "bias_backward", static_cast<std::size_t>(pieces.count() * channels));
  parallel_ranges(pieces.count(), 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      float* partial = partials.data() + piece * channels;
      std::fill_n(partial, channels, 0.0F);
      VIRGIL_DISPATCH_PAIR(T, add_rows)
      (partial, dout + pieces.begin(piece) * channels, channels, pieces.end(piece) - pieces.begin(piece), channels);
    }
  });
  add_partial_rows(dbias, partials.data(), channels, pieces.count(), channels, context);
}

}  // namespace

void add_partial_rows(float* out, const float* partials, std::int64_t stride, std::int64_t count, std::int64_t channels,
                      const CpuContext& context) {
  constexpr std::int64_t kGrain = 64;
  parallel_ranges(channels, kGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_rows_float32)(out + begin, partials + begin, stride, count, end - begin);
  });
}

void run(const ops::BiasBackward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    bias_backward(op.dbias.as<float>(), op.dout.as<T>(), sizes.rows, sizes.channels, context);
  });
}

}  // namespace virgil::cpu
#endif
