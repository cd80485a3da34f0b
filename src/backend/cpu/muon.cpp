#include "backend/cpu/muon.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/muon.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_MUON_ONCE
#define VIRGIL_CPU_MUON_ONCE
namespace virgil::cpu {

/// The step's scalars, combined in double and rounded once.
struct MuonFactors {
  float grad_factor;  // grad_scale * clip
  float momentum;
  float one_minus_momentum;
  float decay;      // 1 - learning_rate * weight_decay
  float step_size;  // learning_rate * update_scale
};

/// What a row's direction is multiplied with: each column's own factor, or one.
struct RowFactors {
  const float* of_columns;  // absent: `of_row`
  float of_row;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

// Multiply-adds are spelled out, as in the CUDA kernels: where the processor has them fused, the bits are the same there.

HWY_ATTR void momentum_row(float* direction, float* momentum, const float* grad, std::int64_t columns, const MuonFactors& f) {
  const FloatTag d;
  const FloatVector grad_factor = hn::Set(d, f.grad_factor), mu = hn::Set(d, f.momentum);
  const FloatVector one_minus_mu = hn::Set(d, f.one_minus_momentum);
  for_each_vector(static_cast<std::size_t>(columns), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector g = hn::Mul(one_minus_mu, hn::Mul(part.load(grad + i), grad_factor));
    const FloatVector m = hn::MulAdd(mu, part.load(momentum + i), g);
    part.store(m, momentum + i);
    part.store(hn::MulAdd(mu, m, g), direction + i);
  });
}

template <typename Out, typename X>
HWY_INLINE void scaled_sum_range(Out* out, const X* x, const Out* y, std::int64_t begin, std::int64_t end, float a_scalar,
                                 float b_scalar, float divisor_scalar) {
  const FloatTag d;
  const FloatVector a = hn::Set(d, a_scalar), b = hn::Set(d, b_scalar), divisor = hn::Set(d, divisor_scalar);
  out += begin;
  x += begin;
  if (y != nullptr) y += begin;
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    FloatVector sum = hn::Mul(a, part.load(x + i));
    if (y != nullptr) sum = hn::MulAdd(b, part.load(y + i), sum);
    part.store(hn::Div(sum, divisor), out + i);
  });
}

HWY_ATTR void sum_float(float* out, const float* x, const float* y, std::int64_t begin, std::int64_t end, float a, float b,
                        float divisor) {
  scaled_sum_range(out, x, y, begin, end, a, b, divisor);
}
HWY_ATTR void sum_half(BFloat16* out, const BFloat16* x, const BFloat16* y, std::int64_t begin, std::int64_t end, float a,
                       float b, float divisor) {
  scaled_sum_range(out, x, y, begin, end, a, b, divisor);
}
HWY_ATTR void sum_narrowed(BFloat16* out, const float* x, const BFloat16* y, std::int64_t begin, std::int64_t end, float a,
                           float b, float divisor) {
  scaled_sum_range(out, x, y, begin, end, a, b, divisor);
}

template <typename Direction>
HWY_INLINE void apply_columns(float* param, BFloat16* working, const Direction* direction, std::int64_t columns,
                              const MuonFactors& f, const RowFactors& factors) {
  const FloatTag d;
  const FloatVector decay = hn::Set(d, f.decay), step_size = hn::Set(d, f.step_size), of_row = hn::Set(d, factors.of_row);
  for_each_vector(static_cast<std::size_t>(columns), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector factor = factors.of_columns == nullptr ? of_row : part.load(factors.of_columns + i);
    const FloatVector update = hn::Mul(step_size, hn::Mul(factor, part.load(direction + i)));
    const FloatVector new_param = hn::MulSub(part.load(param + i), decay, update);
    part.store(new_param, param + i);
    if (working != nullptr) part.store(new_param, working + i);
  });
}

HWY_ATTR void apply_float(float* param, BFloat16* working, const float* direction, std::int64_t columns, const MuonFactors& f,
                          const RowFactors& factors) {
  apply_columns(param, working, direction, columns, f, factors);
}
HWY_ATTR void apply_half(float* param, BFloat16* working, const BFloat16* direction, std::int64_t columns, const MuonFactors& f,
                         const RowFactors& factors) {
  apply_columns(param, working, direction, columns, f, factors);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

HWY_EXPORT(momentum_row);
HWY_EXPORT(sum_float);
HWY_EXPORT(sum_half);
HWY_EXPORT(sum_narrowed);
HWY_EXPORT(apply_float);
HWY_EXPORT(apply_half);

namespace {

MuonFactors muon_factors(const MuonStep& step, float norm) {
  const double clip =
      step.max_norm > 0 && norm > step.max_norm ? static_cast<double>(step.max_norm) / static_cast<double>(norm) : 1.0;
  const double learning_rate = step.learning_rate;
  return {
      .grad_factor = static_cast<float>(static_cast<double>(step.grad_scale) * clip),
      .momentum = step.momentum,
      .one_minus_momentum = static_cast<float>(1.0 - static_cast<double>(step.momentum)),
      .decay = static_cast<float>(1.0 - learning_rate * static_cast<double>(step.weight_decay)),
      .step_size = static_cast<float>(learning_rate * static_cast<double>(step.update_scale)),
  };
}

/// body(row) for each, about kElementGrain elements at a time.
template <typename Body>
void for_rows(const MatrixColumns& sizes, const CpuContext& context, const Body& body) {
  const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, sizes.columns));
  parallel_ranges(sizes.rows, grain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) body(row);
  });
}

}  // namespace

void run(const ops::MuonMomentum& op, const CpuContext& context) {
  const MatrixColumns sizes = op.check();
  const float norm = *op.norm.as<float>();
  float* const direction = op.direction.as<float>();
  if (!std::isfinite(norm)) {
    std::fill_n(direction, sizes.num_elements(), 0.0F);
    return;
  }
  const MuonFactors factors = muon_factors(op.step, norm);
  for_rows(sizes, context, [&](std::int64_t row) {
    const std::int64_t at = row * sizes.row_stride + op.first_column;
    HWY_DYNAMIC_DISPATCH(momentum_row)
    (direction + row * sizes.columns, op.momentum.as<float>() + at, op.grad.as<float>() + at, sizes.columns, factors);
  });
}

void run(const ops::ScaledSum& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  const float divisor = op.divisor.present() ? std::max(*op.divisor.as<float>(), ops::kLeastDivisor) : 1.0F;
  with_float_type(op.kName, op.out.dtype(), [&]<typename Out>(Out) {
    Out* const out = op.out.as<Out>();
    const Out* const y = data_or_null<Out>(op.y);
    parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      if constexpr (std::is_same_v<Out, float>) {
        HWY_DYNAMIC_DISPATCH(sum_float)(out, op.x.as<float>(), y, begin, end, op.a, op.b, divisor);
      } else if (op.x.dtype() == DType::kFloat32) {
        HWY_DYNAMIC_DISPATCH(sum_narrowed)(out, op.x.as<float>(), y, begin, end, op.a, op.b, divisor);
      } else {
        HWY_DYNAMIC_DISPATCH(sum_half)(out, op.x.as<Out>(), y, begin, end, op.a, op.b, divisor);
      }
    });
  });
}

void run(const ops::MuonApply& op, const CpuContext& context) {
  const MatrixColumns sizes = op.check();
  const float norm = *op.norm.as<float>();
  if (op.working.present()) ops::expect_supported(op.kName, op.working.dtype(), {DType::kBFloat16});
  if (!std::isfinite(norm)) return;
  const MuonFactors factors = muon_factors(op.step, norm);
  BFloat16* const working = data_or_null<BFloat16>(op.working);
  const float* const factors_of = data_or_null<float>(op.factors);
  const bool by_column = op.axis == NeuronAxis::kColumns;
  with_float_type(op.kName, op.direction.dtype(), [&]<typename Direction>(Direction) {
    const Direction* const direction = op.direction.as<Direction>();
    for_rows(sizes, context, [&](std::int64_t row) {
      const std::int64_t at = row * sizes.row_stride + op.first_column;
      float* const param = op.param.as<float>() + at;
      BFloat16* const rounded = working == nullptr ? nullptr : working + at;
      const RowFactors row_factors{.of_columns = by_column ? factors_of : nullptr,
                                   .of_row = by_column || factors_of == nullptr ? 1.0F : factors_of[row]};
      if constexpr (std::is_same_v<Direction, float>) {
        HWY_DYNAMIC_DISPATCH(apply_float)(param, rounded, direction + row * sizes.columns, sizes.columns, factors, row_factors);
      } else {
        HWY_DYNAMIC_DISPATCH(apply_half)(param, rounded, direction + row * sizes.columns, sizes.columns, factors, row_factors);
      }
    });
  });
}

}  // namespace virgil::cpu
#endif
