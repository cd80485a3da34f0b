#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/dropout_rows.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/norm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/norm_forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"
#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_NORM_FORWARD_ONCE
#define VIRGIL_CPU_NORM_FORWARD_ONCE
namespace virgil::cpu {

/// Channels handled at a time, so that the dropout multipliers fit a small array.
inline constexpr std::int64_t kResidualChunk = 1024;

template <typename Element>
struct NormForward {
  Element* out;
  float* mean;  // or null: RMSNorm
  float* rstd;
  const Element* inp;
  const Element* weight;
  const Element* bias;
  std::int64_t channels;
  float epsilon;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename Element>
HWY_INLINE float mean_of(const Element* HWY_RESTRICT x, std::size_t C) {
  FourSums sum;
  for_each_vector_by_four(C, [&](std::size_t c, auto part, int k) HWY_ATTR { sum.v[k] = hn::Add(sum.v[k], part.load(x + c)); });
  return sum.total() / static_cast<float>(C);
}

/// Layernorm goes twice over a row that lies in the cache: the variance of centred values does not cancel. RMSNorm's values are
/// not centred.
template <typename Element>
HWY_INLINE void normalize_row(const NormForward<Element>& op, const Element* HWY_RESTRICT x, std::int64_t row) {
  const FloatTag d;
  const auto C = static_cast<std::size_t>(op.channels);
  const float mean = op.mean == nullptr ? 0.0F : mean_of(x, C);
  const FloatVector mean_v = hn::Set(d, mean);
  FourSums squares;
  for_each_vector_by_four(C, [&](std::size_t c, auto part, int k) HWY_ATTR {
    const FloatVector centred = part.select(hn::Sub(part.load(x + c), mean_v), hn::Zero(d));
    squares.v[k] = hn::MulAdd(centred, centred, squares.v[k]);
  });
  const float rstd = 1.0F / std::sqrt(squares.total() / static_cast<float>(C) + op.epsilon);
  const FloatVector rstd_v = hn::Set(d, rstd);
  Element* HWY_RESTRICT out = op.out + row * op.channels;
  for_each_vector(C, [&](std::size_t c, auto part) HWY_ATTR {
    const FloatVector normalized = hn::Mul(hn::Sub(part.load(x + c), mean_v), rstd_v);
    const FloatVector bias = op.bias == nullptr ? hn::Zero(d) : part.load(op.bias + c);
    part.store(hn::MulAdd(normalized, part.load(op.weight + c), bias), out + c);
  });
  if (op.mean != nullptr) op.mean[row] = mean;
  op.rstd[row] = rstd;
}

template <typename Element>
HWY_INLINE void norm_forward_rows(const NormForward<Element>& op, std::int64_t first_row, std::int64_t last_row) {
  for (std::int64_t row = first_row; row < last_row; ++row) normalize_row(op, op.inp + row * op.channels, row);
}

template <typename Element>
HWY_INLINE void residual_norm_forward_rows(const ResidualNormForward<Element>& op, std::int64_t first_row,
                                           std::int64_t last_row) {
  const std::int64_t C = op.channels;
  const NormForward<Element> norm{op.out, op.mean, op.rstd, op.residual_out, op.weight, op.bias, C, op.epsilon};
  const DropoutMask mask(op.dropout);
  const DropoutRows dropout_rows(op.dropout, op.length, C);
  const bool dropping = op.dropout.enabled();
  HWY_ALIGN float multiplier[kResidualChunk];
  for (std::int64_t row = first_row; row < last_row; ++row) {
    for (std::int64_t c = 0; c < C; c += kResidualChunk) {
      const std::int64_t first = row * C + c;
      const auto n = static_cast<std::size_t>(std::min(kResidualChunk, C - c));
      if (dropping) mask.fill(dropout_rows.base(row) + static_cast<std::uint64_t>(c), n, multiplier);
      for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR {
        FloatVector branch = part.load(op.branch + first + i);
        if (dropping) branch = hn::Mul(branch, part.load(multiplier + i));
        part.store(hn::Add(part.load(op.residual + first + i), branch), op.residual_out + first + i);
      });
    }
    normalize_row(norm, op.residual_out + row * C, row);
  }
}

HWY_ATTR void norm_forward_rows_float32(const NormForward<float>& op, std::int64_t first_row, std::int64_t last_row) {
  norm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void norm_forward_rows_bfloat16(const NormForward<BFloat16>& op, std::int64_t first_row, std::int64_t last_row) {
  norm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void residual_norm_forward_rows_float32(const ResidualNormForward<float>& op, std::int64_t first_row,
                                                 std::int64_t last_row) {
  residual_norm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void residual_norm_forward_rows_bfloat16(const ResidualNormForward<BFloat16>& op, std::int64_t first_row,
                                                  std::int64_t last_row) {
  residual_norm_forward_rows(op, first_row, last_row);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(norm_forward_rows);
VIRGIL_EXPORT_PAIR(residual_norm_forward_rows);

namespace {

template <typename T>
void norm_forward(const NormForward<T>& op, std::int64_t rows, const CpuContext& context) {
  parallel_ranges(rows, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, norm_forward_rows)(op, begin, end);
  });
}

template <typename T>
void residual_norm_forward(const ResidualNormForward<T>& op, const CpuContext& context) {
  parallel_ranges(op.batch * op.length, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, residual_norm_forward_rows)(op, begin, end);
  });
}

}  // namespace

void run(const ops::NormForward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    norm_forward(NormForward<T>{.out = op.out.as<T>(),
                                .mean = data_or_null<float>(op.mean),
                                .rstd = op.rstd.as<float>(),
                                .inp = op.inp.as<T>(),
                                .weight = op.weight.as<T>(),
                                .bias = data_or_null<T>(op.bias),
                                .channels = sizes.channels,
                                .epsilon = op.epsilon},
                 sizes.rows, context);
  });
}

void run(const ops::ResidualNormForward& op, const CpuContext& context) {
  const ops::SequenceSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    residual_norm_forward(ResidualNormForward<T>{.residual_out = op.residual_out.as<T>(),
                                                 .out = op.out.as<T>(),
                                                 .mean = data_or_null<float>(op.mean),
                                                 .rstd = op.rstd.as<float>(),
                                                 .residual = op.residual.as<T>(),
                                                 .branch = op.branch.as<T>(),
                                                 .weight = op.weight.as<T>(),
                                                 .bias = data_or_null<T>(op.bias),
                                                 .batch = sizes.batch,
                                                 .length = sizes.length,
                                                 .channels = sizes.channels,
                                                 .dropout = op.dropout,
                                                 .epsilon = op.epsilon},
                          context);
  });
}

}  // namespace virgil::cpu
#endif
