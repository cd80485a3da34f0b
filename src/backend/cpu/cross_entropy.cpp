#include "backend/cpu/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/cross_entropy.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename T>
HWY_INLINE float row_max(const T* logits, std::size_t n) {
  const FloatTag d;
  const FloatVector lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  FloatVector max[4] = {lowest, lowest, lowest, lowest};
  for_each_vector_by_four(n, [&](std::size_t i, auto part, int k)
                                 HWY_ATTR { max[k] = hn::Max(max[k], part.select(part.load(logits + i), lowest)); });
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(max[0], max[1]), hn::Max(max[2], max[3]))));
}

/// Sum of e^(logit - max), in float within blocks and in double across them, so that the error does not grow with the
/// vocabulary. Stores the terms in `exps` (which may be logits) unless that is null.
template <typename T>
HWY_INLINE double row_exp_sum(float* exps, const T* logits, std::size_t n, float max) {
  constexpr std::size_t kBlock = 1024;
  const FloatTag d;
  const FloatVector max_v = hn::Set(d, max);
  double sum = 0;
  for (std::size_t first = 0; first < n; first += kBlock) {
    FourSums block;
    for_each_vector_by_four(std::min(kBlock, n - first), [&](std::size_t i, auto part, int k) HWY_ATTR {
      const FloatVector term = exp_up_to_88(hn::Sub(part.load(logits + first + i), max_v));
      block.v[k] = hn::Add(block.v[k], part.select(term, hn::Zero(d)));
      if (exps != nullptr) part.store(term, exps + first + i);
    });
    sum += static_cast<double>(block.total());
  }
  return sum;
}

/// row = factor * row, and `target`'s element less grad_scale.
HWY_INLINE void finish_gradient(float* exps, const float* /*logits*/, std::size_t n, float /*max*/, float factor,
                                std::int32_t target, float grad_scale) {
  const FloatVector factor_v = hn::Set(FloatTag(), factor);
  for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Mul(part.load(exps + i), factor_v), exps + i); });
  exps[target] -= grad_scale;
}

/// The same from the logits, which it overwrites: exponentials are computed again, so that each element is rounded once.
HWY_INLINE void finish_gradient(BFloat16* gradient, const BFloat16* logits, std::size_t n, float max, float factor,
                                std::int32_t target, float grad_scale) {
  const FloatTag d;
  const FloatVector factor_v = hn::Set(d, factor);
  const FloatVector max_v = hn::Set(d, max);
  const float target_exp = hn::GetLane(exp_up_to_88(hn::Set(d, static_cast<float>(logits[target]) - max)));
  for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR {
    part.store(hn::Mul(exp_up_to_88(hn::Sub(part.load(logits + i), max_v)), factor_v), gradient + i);
  });
  gradient[target] = BFloat16(target_exp * factor - grad_scale);
}

HWY_INLINE float* where_exps_go(float* gradient) { return gradient; }
HWY_INLINE float* where_exps_go(BFloat16* /*gradient*/) { return nullptr; }

/// Loss of one row. `gradient` is the row of logits, to be overwritten, or null.
template <typename T>
HWY_INLINE float cross_entropy_row(const T* logits, T* gradient, std::int32_t target, const CrossEntropySizes& sizes,
                                   float grad_scale) {
  if (target < 0) {
    if (gradient != nullptr) std::fill_n(gradient, sizes.columns, T(0.0F));
    return 0.0F;
  }
  const auto V = static_cast<std::size_t>(sizes.vocab_size);
  const auto target_logit = static_cast<float>(logits[target]);
  const float max = row_max(logits, V);
  const double sum = row_exp_sum(where_exps_go(gradient), logits, V, max);
  if (gradient != nullptr) {
    const auto factor = static_cast<float>(static_cast<double>(grad_scale) / sum);
    finish_gradient(gradient, logits, V, max, factor, target, grad_scale);
    std::fill_n(gradient + V, sizes.columns - sizes.vocab_size, T(0.0F));
  }
  return static_cast<float>(std::log(sum) + (static_cast<double>(max) - static_cast<double>(target_logit)));
}

HWY_ATTR float cross_entropy_row_float32(const float* logits, float* gradient, std::int32_t target,
                                         const CrossEntropySizes& sizes, float grad_scale) {
  return cross_entropy_row(logits, gradient, target, sizes, grad_scale);
}
HWY_ATTR float cross_entropy_row_bfloat16(const BFloat16* logits, BFloat16* gradient, std::int32_t target,
                                          const CrossEntropySizes& sizes, float grad_scale) {
  return cross_entropy_row(logits, gradient, target, sizes, grad_scale);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(cross_entropy_row);

namespace {

template <typename T>
void run_rows(float* losses, const T* logits, T* gradient, const std::int32_t* targets, const CrossEntropySizes& sizes,
              float grad_scale, const CpuContext& context) {
  for (std::int64_t row = 0; row < sizes.rows; ++row) {
    VIRGIL_CHECK(targets[row] < sizes.vocab_size, "cross_entropy: target {} of row {} is outside the vocabulary of {}",
                 targets[row], row, sizes.vocab_size);
  }
  parallel_ranges(sizes.rows, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      T* gradient_row = gradient == nullptr ? nullptr : gradient + row * sizes.columns;
      losses[row] = VIRGIL_DISPATCH_PAIR(T, cross_entropy_row)(logits + row * sizes.columns, gradient_row, targets[row], sizes,
                                                               grad_scale);
    }
  });
}

}  // namespace

void run(const ops::CrossEntropyForward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    run_rows<T>(op.losses.as<float>(), op.logits.as<T>(), nullptr, op.targets.as<std::int32_t>(),
                {sizes.rows, sizes.channels, op.vocab_size}, 0.0F, context);
  });
}

void run(const ops::CrossEntropyForwardBackward& op, const CpuContext& context) {
  const ops::RowSizes sizes = op.check();
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    run_rows<T>(op.losses.as<float>(), op.logits.as<T>(), op.logits.as<T>(), op.targets.as<std::int32_t>(),
                {sizes.rows, sizes.channels, op.vocab_size}, op.grad_scale, context);
  });
}

}  // namespace virgil::cpu
#endif
