#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/column_sums.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/norm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/row_pieces.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/norm_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// dinp of one row; adds the row's share to dweight (C) and dbias (C).
template <typename Element>
HWY_INLINE void norm_backward_row(const NormBackward<Element>& op, std::int64_t row, float* HWY_RESTRICT dweight,
                                  float* HWY_RESTRICT dbias) {
  const FloatTag d;
  const auto C = static_cast<std::size_t>(op.channels);
  const Element* HWY_RESTRICT dout = op.dout + row * op.channels;
  const Element* HWY_RESTRICT inp = op.inp + row * op.channels;
  Element* HWY_RESTRICT dinp = op.dinp + row * op.channels;
  const bool centred = op.mean != nullptr;  // else RMSNorm's
  const FloatVector mean = hn::Set(d, centred ? op.mean[row] : 0.0F);
  const FloatVector rstd = hn::Set(d, op.rstd[row]);

  FourSums sum_dnorm, sum_dnorm_norm;
  for_each_vector_by_four(C, [&](std::size_t c, auto part, int k) HWY_ATTR {
    // Past the end dout loads as zero, and so do all products with it.
    const FloatVector dy = part.load(dout + c);
    const FloatVector norm = hn::Mul(hn::Sub(part.load(inp + c), mean), rstd);
    const FloatVector dnorm = hn::Mul(dy, part.load(op.weight + c));
    sum_dnorm.v[k] = hn::Add(sum_dnorm.v[k], dnorm);
    sum_dnorm_norm.v[k] = hn::MulAdd(dnorm, norm, sum_dnorm_norm.v[k]);
    part.store(hn::MulAdd(dy, norm, part.load(dweight + c)), dweight + c);
    part.store(hn::Add(dy, part.load(dbias + c)), dbias + c);
  });
  const FloatVector mean_dnorm = hn::Set(d, centred ? sum_dnorm.total() / static_cast<float>(C) : 0.0F);
  const FloatVector mean_dnorm_norm = hn::Set(d, sum_dnorm_norm.total() / static_cast<float>(C));
  for_each_vector(C, [&](std::size_t c, auto part) HWY_ATTR {
    const FloatVector norm = hn::Mul(hn::Sub(part.load(inp + c), mean), rstd);
    const FloatVector dnorm = hn::Mul(part.load(dout + c), part.load(op.weight + c));
    const FloatVector dx = hn::NegMulAdd(norm, mean_dnorm_norm, hn::Sub(dnorm, mean_dnorm));
    part.store(hn::MulAdd(dx, rstd, part.load(dinp + c)), dinp + c);
  });
}

template <typename Element>
HWY_INLINE void norm_backward_rows(const NormBackward<Element>& op, std::int64_t first_row, std::int64_t last_row,
                                   float* partial) {
  std::fill_n(partial, 2 * op.channels, 0.0F);
  for (std::int64_t row = first_row; row < last_row; ++row) {
    norm_backward_row(op, row, partial, partial + op.channels);
  }
}

HWY_ATTR void norm_backward_rows_float32(const NormBackward<float>& op, std::int64_t first_row, std::int64_t last_row,
                                         float* partial) {
  norm_backward_rows(op, first_row, last_row, partial);
}
HWY_ATTR void norm_backward_rows_bfloat16(const NormBackward<BFloat16>& op, std::int64_t first_row, std::int64_t last_row,
                                          float* partial) {
  norm_backward_rows(op, first_row, last_row, partial);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(norm_backward_rows);

std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) {
  const std::int64_t floats = checked_multiply(RowPieces(rows).count(), checked_multiply(2, channels));
  return checked_multiply(floats, static_cast<std::int64_t>(sizeof(float)));
}

namespace {

template <typename T>
void norm_backward(const NormBackward<T>& op, const CpuContext& context) {
  const std::int64_t C = op.channels;
  const RowPieces pieces(op.rows);
  // Per piece: dweight (C), then dbias (C).
  const auto partials = workspace_as<float>(context, "norm_backward", static_cast<std::size_t>(pieces.count() * 2 * C));
  parallel_ranges(pieces.count(), 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      VIRGIL_DISPATCH_PAIR(T, norm_backward_rows)
      (op, pieces.begin(piece), pieces.end(piece), partials.data() + piece * 2 * C);
    }
  });
  add_partial_rows(op.dweight, partials.data(), 2 * C, pieces.count(), C, context);
  if (op.dbias != nullptr) add_partial_rows(op.dbias, partials.data() + C, 2 * C, pieces.count(), C, context);
}

}  // namespace

void run(const ops::NormBackward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    norm_backward(NormBackward<T>{.dinp = op.dinp.as<T>(),
                                  .dweight = op.dweight.as<float>(),
                                  .dbias = data_or_null<float>(op.dbias),
                                  .dout = op.dout.as<T>(),
                                  .inp = op.inp.as<T>(),
                                  .weight = op.weight.as<T>(),
                                  .mean = data_or_null<float>(op.mean),
                                  .rstd = op.rstd.as<float>(),
                                  .rows = sizes.rows,
                                  .channels = sizes.channels},
                  context);
  });
}

}  // namespace virgil::cpu
#endif
