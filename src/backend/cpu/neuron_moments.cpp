// NorMuon's second moments. A neuron's squares are added by one thread in an order of its own, so the bits do not depend on the
// threads.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/float_type.h"
#include "backend/cpu/muon.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/neuron_moments.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_NEURON_MOMENTS_ONCE
#define VIRGIL_CPU_NEURON_MOMENTS_ONCE
namespace virgil::cpu {

/// Columns whose sums are kept beside each other in the first cache.
inline constexpr std::int64_t kNeuronStrip = 64;
/// Rows whose squares are added up before they are added to the others': roundings grow with 64 + rows / 64.
inline constexpr std::int64_t kSquaredRows = 64;

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// sums (columns) = sums of squares over rows, which are `stride` apart. At most kNeuronStrip columns.
template <typename T>
HWY_INLINE void square_columns(float* sums, const T* inp, std::int64_t rows, std::int64_t stride, std::int64_t columns) {
  const FloatTag d;
  const auto count = static_cast<std::size_t>(columns);
  float block[kNeuronStrip];
  std::fill_n(sums, columns, 0.0F);
  for (std::int64_t first = 0; first < rows; first += kSquaredRows) {
    const std::int64_t end = std::min(rows, first + kSquaredRows);
    for_each_vector(count, [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Zero(d), block + i); });
    for (std::int64_t row = first; row < end; ++row) {
      const T* const from = inp + row * stride;
      for_each_vector(count, [&](std::size_t i, auto part) HWY_ATTR {
        const FloatVector x = part.load(from + i);
        part.store(hn::MulAdd(x, x, part.load(block + i)), block + i);
      });
    }
    for_each_vector(count, [&](std::size_t i, auto part)
                               HWY_ATTR { part.store(hn::Add(part.load(sums + i), part.load(block + i)), sums + i); });
  }
}

template <typename T>
HWY_INLINE float square_row(const T* inp, std::int64_t columns) {
  FourSums sums;
  for_each_vector_by_four(static_cast<std::size_t>(columns), [&](std::size_t i, auto part, int k) HWY_ATTR {
    const FloatVector x = part.load(inp + i);
    sums.v[k] = hn::MulAdd(x, x, sums.v[k]);
  });
  return sums.total();
}

HWY_ATTR void square_columns_float32(float* sums, const float* inp, std::int64_t rows, std::int64_t stride,
                                     std::int64_t columns) {
  square_columns(sums, inp, rows, stride, columns);
}
HWY_ATTR void square_columns_bfloat16(float* sums, const BFloat16* inp, std::int64_t rows, std::int64_t stride,
                                      std::int64_t columns) {
  square_columns(sums, inp, rows, stride, columns);
}
HWY_ATTR float square_row_float32(const float* inp, std::int64_t columns) { return square_row(inp, columns); }
HWY_ATTR float square_row_bfloat16(const BFloat16* inp, std::int64_t columns) { return square_row(inp, columns); }

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(square_columns);
VIRGIL_EXPORT_PAIR(square_row);

namespace {

/// sums (neurons) = sums of squares over each neuron's inputs.
template <typename T>
void square_neurons(float* sums, const T* direction, const MatrixColumns& sizes, NeuronAxis axis, const CpuContext& context) {
  if (axis == NeuronAxis::kColumns) {
    parallel_ranges(sizes.columns, kNeuronStrip, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t column = begin; column < end; column += kNeuronStrip) {
        VIRGIL_DISPATCH_PAIR(T, square_columns)
        (sums + column, direction + column, sizes.rows, sizes.columns, std::min(kNeuronStrip, end - column));
      }
    });
    return;
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, sizes.columns));
  parallel_ranges(sizes.rows, grain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      sums[row] = VIRGIL_DISPATCH_PAIR(T, square_row)(direction + row * sizes.columns, sizes.columns);
    }
  });
}

/// Turns the sums of squares into factors. There are few neurons: one thread does it.
void make_factors(float* factors, float* v, std::int64_t neurons, std::int64_t inputs, float beta2) {
  const auto rest = static_cast<float>(1.0 - static_cast<double>(beta2));
  double scaled_squares = 0;  // of all elements, over the inputs
  for (std::int64_t j = 0; j < neurons; ++j) {
    const float mean = factors[j] / static_cast<float>(inputs);
    v[j] = std::fma(beta2, v[j], rest * mean);
    factors[j] = 1.0F / (std::sqrt(v[j]) + ops::kNeuronEps);
    const double scale = factors[j];
    scaled_squares += scale * scale * static_cast<double>(mean);
  }
  const double to_one = scaled_squares > 0 ? std::sqrt(static_cast<double>(neurons) / scaled_squares) : 0.0;
  for (std::int64_t j = 0; j < neurons; ++j) factors[j] = static_cast<float>(to_one * static_cast<double>(factors[j]));
}

}  // namespace

void run(const ops::NeuronMoments& op, const CpuContext& context) {
  const MatrixColumns sizes = op.check();
  const std::int64_t neurons = op.factors.num_elements();
  float* const factors = op.factors.as<float>();
  if (neurons == 0 || sizes.num_elements() == 0 || !std::isfinite(*op.norm.as<float>())) {
    std::fill_n(factors, neurons, 0.0F);
    return;
  }
  with_float_type(op.kName, op.direction.dtype(),
                  [&]<typename T>(T) { square_neurons(factors, op.direction.as<T>(), sizes, op.axis, context); });
  make_factors(factors, op.v.as<float>() + op.first_neuron, neurons, sizes.num_elements() / neurons, op.step.beta2);
}

}  // namespace virgil::cpu
#endif
