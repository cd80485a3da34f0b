#include "backend/cpu/adamw.h"

#include <cmath>

#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/adamw.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_ADAMW_ONCE
#define VIRGIL_CPU_ADAMW_ONCE
namespace virgil::cpu {

/// The step's scalars, combined in double and rounded once.
struct AdamWFactors {
  float grad_factor;  // grad_scale * clip
  float beta1;
  float beta2;
  float one_minus_beta1;
  float one_minus_beta2;
  float decay;            // 1 - learning_rate * weight_decay
  float step_size;        // learning_rate / (1 - beta1^t)
  float root_correction;  // 1 / sqrt(1 - beta2^t)
  float eps;
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

HWY_ATTR void adamw_range(float* HWY_RESTRICT param, float* HWY_RESTRICT m, float* HWY_RESTRICT v,
                          const float* HWY_RESTRICT grad, std::int64_t n, const AdamWFactors& f) {
  const FloatTag d;
  const FloatVector grad_factor = hn::Set(d, f.grad_factor), eps = hn::Set(d, f.eps);
  const FloatVector beta1 = hn::Set(d, f.beta1), one_minus_beta1 = hn::Set(d, f.one_minus_beta1);
  const FloatVector beta2 = hn::Set(d, f.beta2), one_minus_beta2 = hn::Set(d, f.one_minus_beta2);
  const FloatVector decay = hn::Set(d, f.decay), step_size = hn::Set(d, f.step_size);
  const FloatVector root_correction = hn::Set(d, f.root_correction);
  for_each_vector(static_cast<std::size_t>(n), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector g = hn::Mul(part.load(grad + i), grad_factor);
    const FloatVector new_m = hn::MulAdd(beta1, part.load(m + i), hn::Mul(one_minus_beta1, g));
    const FloatVector new_v = hn::MulAdd(beta2, part.load(v + i), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const FloatVector denominator = hn::MulAdd(hn::Sqrt(new_v), root_correction, eps);
    const FloatVector update = hn::Div(hn::Mul(step_size, new_m), denominator);
    part.store(new_m, m + i);
    part.store(new_v, v + i);
    part.store(hn::Sub(hn::Mul(part.load(param + i), decay), update), param + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

HWY_EXPORT(adamw_range);

namespace {

AdamWFactors adamw_factors(const AdamWStep& step, float norm) {
  const double clip =
      step.max_norm > 0 && norm > step.max_norm ? static_cast<double>(step.max_norm) / static_cast<double>(norm) : 1.0;
  const double learning_rate = step.learning_rate;
  const double beta1 = step.beta1;
  const double beta2 = step.beta2;
  const auto t = static_cast<double>(step.t);
  return {
      .grad_factor = static_cast<float>(static_cast<double>(step.grad_scale) * clip),
      .beta1 = step.beta1,
      .beta2 = step.beta2,
      .one_minus_beta1 = static_cast<float>(1.0 - beta1),
      .one_minus_beta2 = static_cast<float>(1.0 - beta2),
      .decay = static_cast<float>(1.0 - learning_rate * static_cast<double>(step.weight_decay)),
      .step_size = static_cast<float>(learning_rate / (1.0 - std::pow(beta1, t))),
      .root_correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, t))),
      .eps = step.eps,
  };
}

}  // namespace

void adamw_update(float* param, float* m, float* v, const float* grad, std::int64_t num_elements, float norm,
                  const AdamWStep& step, const CpuContext& context) {
  if (!std::isfinite(norm)) return;
  const AdamWFactors factors = adamw_factors(step, norm);
  parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_range)(param + begin, m + begin, v + begin, grad + begin, end - begin, factors);
  });
}

}  // namespace virgil::cpu
#endif
