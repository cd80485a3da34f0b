#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/dropout_rows.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/layernorm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/layernorm_forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"
#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_LAYERNORM_FORWARD_ONCE
#define VIRGIL_CPU_LAYERNORM_FORWARD_ONCE
namespace virgil::cpu {

/// Channels handled at a time, so that the dropout multipliers fit a small array.
inline constexpr std::int64_t kResidualChunk = 1024;

template <typename Element>
struct LayernormForward {
  Element* out;
  float* mean;
  float* rstd;
  const Element* inp;
  const Element* weight;
  const Element* bias;
  std::int64_t channels;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Two passes over a row that lies in the cache: the variance of centred values does not cancel.
template <typename Element>
HWY_INLINE void normalize_row(const LayernormForward<Element>& op, const Element* HWY_RESTRICT x, std::int64_t row) {
  const FloatTag d;
  const auto C = static_cast<std::size_t>(op.channels);
  FourSums sum;
  for_each_vector_by_four(C, [&](std::size_t c, auto part, int k) HWY_ATTR { sum.v[k] = hn::Add(sum.v[k], part.load(x + c)); });
  const float mean = sum.total() / static_cast<float>(C);
  const FloatVector mean_v = hn::Set(d, mean);
  FourSums squares;
  for_each_vector_by_four(C, [&](std::size_t c, auto part, int k) HWY_ATTR {
    const FloatVector centred = part.select(hn::Sub(part.load(x + c), mean_v), hn::Zero(d));
    squares.v[k] = hn::MulAdd(centred, centred, squares.v[k]);
  });
  const float rstd = 1.0F / std::sqrt(squares.total() / static_cast<float>(C) + kLayernormEps);
  const FloatVector rstd_v = hn::Set(d, rstd);
  Element* HWY_RESTRICT out = op.out + row * op.channels;
  for_each_vector(C, [&](std::size_t c, auto part) HWY_ATTR {
    const FloatVector normalized = hn::Mul(hn::Sub(part.load(x + c), mean_v), rstd_v);
    const FloatVector bias = op.bias == nullptr ? hn::Zero(d) : part.load(op.bias + c);
    part.store(hn::MulAdd(normalized, part.load(op.weight + c), bias), out + c);
  });
  op.mean[row] = mean;
  op.rstd[row] = rstd;
}

template <typename Element>
HWY_INLINE void layernorm_forward_rows(const LayernormForward<Element>& op, std::int64_t first_row, std::int64_t last_row) {
  for (std::int64_t row = first_row; row < last_row; ++row) normalize_row(op, op.inp + row * op.channels, row);
}

template <typename Element>
HWY_INLINE void residual_layernorm_forward_rows(const ResidualLayernormForward<Element>& op, std::int64_t first_row,
                                                std::int64_t last_row) {
  const std::int64_t C = op.channels;
  const LayernormForward<Element> norm{op.out, op.mean, op.rstd, op.residual_out, op.weight, op.bias, C};
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

HWY_ATTR void layernorm_forward_rows_float32(const LayernormForward<float>& op, std::int64_t first_row, std::int64_t last_row) {
  layernorm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void layernorm_forward_rows_bfloat16(const LayernormForward<BFloat16>& op, std::int64_t first_row,
                                              std::int64_t last_row) {
  layernorm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void residual_layernorm_forward_rows_float32(const ResidualLayernormForward<float>& op, std::int64_t first_row,
                                                      std::int64_t last_row) {
  residual_layernorm_forward_rows(op, first_row, last_row);
}
HWY_ATTR void residual_layernorm_forward_rows_bfloat16(const ResidualLayernormForward<BFloat16>& op, std::int64_t first_row,
                                                       std::int64_t last_row) {
  residual_layernorm_forward_rows(op, first_row, last_row);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(layernorm_forward_rows);
VIRGIL_EXPORT_PAIR(residual_layernorm_forward_rows);

namespace {

template <typename T>
void layernorm_forward(T* out, float* mean, float* rstd, const T* inp, const T* weight, const T* bias, std::int64_t rows,
                       std::int64_t channels, const CpuContext& context) {
  const LayernormForward<T> op{out, mean, rstd, inp, weight, bias, channels};
  parallel_ranges(rows, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, layernorm_forward_rows)(op, begin, end);
  });
}

template <typename T>
void residual_layernorm_forward(const ResidualLayernormForward<T>& op, const CpuContext& context) {
  parallel_ranges(op.batch * op.length, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, residual_layernorm_forward_rows)(op, begin, end);
  });
}

}  // namespace

void run(const ops::LayernormForward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    layernorm_forward(op.out.as<T>(), op.mean.as<float>(), op.rstd.as<float>(), op.inp.as<T>(), op.weight.as<T>(),
                      data_or_null<T>(op.bias), sizes.rows, sizes.channels, context);
  });
}

void run(const ops::ResidualLayernormForward& op, const CpuContext& context) {
  const ops::SequenceSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    residual_layernorm_forward(ResidualLayernormForward<T>{.residual_out = op.residual_out.as<T>(),
                                                           .out = op.out.as<T>(),
                                                           .mean = op.mean.as<float>(),
                                                           .rstd = op.rstd.as<float>(),
                                                           .residual = op.residual.as<T>(),
                                                           .branch = op.branch.as<T>(),
                                                           .weight = op.weight.as<T>(),
                                                           .bias = data_or_null<T>(op.bias),
                                                           .batch = sizes.batch,
                                                           .length = sizes.length,
                                                           .channels = sizes.channels,
                                                           .dropout = op.dropout},
                               context);
  });
}

}  // namespace virgil::cpu
#endif
