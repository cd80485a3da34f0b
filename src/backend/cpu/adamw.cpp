#include "backend/cpu/adamw.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/adamw.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"
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

/// Where the random words of stochastic rounding come from: element i of the call takes word first_index + i.
struct AdamWRounding {
  RandomStream stream;
  std::int64_t first_index;  // a multiple of 4
};

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Stores moments: float32 as they are.
HWY_INLINE void store_moments(FloatVector m, FloatVector v, float* m_to, float* v_to, auto part,
                              const std::uint32_t* /*random*/) {
  part.store(m, m_to);
  part.store(v, v_to);
}

/// The bits of v rounded up with the probability of its distance from the bfloat16 below, as a share of their spacing: the
/// expected result is v. `random` holds 16 uniform bits a lane.
HWY_INLINE HalfVector round_stochastically(FloatVector v, hn::Vec<hn::RebindToUnsigned<FloatTag>> random) {
  const hn::RebindToUnsigned<FloatTag> du;
  const hn::RebindToSigned<FloatTag> di;
  const auto word = hn::BitCast(du, v);
  const auto quiet = hn::Or(word, hn::Set(du, 0x00400000));
  const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, hn::Add(word, random));
  return hn::DemoteTo(HalfTag(), hn::BitCast(di, hn::ShiftRight<16>(result)));
}

/// bfloat16 with stochastic rounding: m takes the upper half of an element's random word, v the lower half.
HWY_INLINE void store_moments(FloatVector m, FloatVector v, BFloat16* m_to, BFloat16* v_to, auto part,
                              const std::uint32_t* random) {
  const hn::RebindToUnsigned<FloatTag> du;
  const auto words = hn::LoadU(du, random);
  part.store_bits(round_stochastically(m, hn::ShiftRight<16>(words)), m_to);
  part.store_bits(round_stochastically(v, hn::And(words, hn::Set(du, 0xFFFF))), v_to);
}

/// Elements [begin, end); `random` holds a word for each, from element begin on, where Moment is rounded.
template <typename Moment>
HWY_INLINE void adamw_range(const AdamWTensors<Moment>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                            const std::uint32_t* random) {
  const FloatTag d;
  const FloatVector grad_factor = hn::Set(d, f.grad_factor), eps = hn::Set(d, f.eps);
  const FloatVector beta1 = hn::Set(d, f.beta1), one_minus_beta1 = hn::Set(d, f.one_minus_beta1);
  const FloatVector beta2 = hn::Set(d, f.beta2), one_minus_beta2 = hn::Set(d, f.one_minus_beta2);
  const FloatVector decay = hn::Set(d, f.decay), step_size = hn::Set(d, f.step_size);
  const FloatVector root_correction = hn::Set(d, f.root_correction);
  float* HWY_RESTRICT param = t.param + begin;
  Moment* HWY_RESTRICT m = t.m + begin;
  Moment* HWY_RESTRICT v = t.v + begin;
  const float* HWY_RESTRICT grad = t.grad + begin;
  BFloat16* HWY_RESTRICT working = t.working == nullptr ? nullptr : t.working + begin;
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector g = hn::Mul(part.load(grad + i), grad_factor);
    const FloatVector new_m = hn::MulAdd(beta1, part.load(m + i), hn::Mul(one_minus_beta1, g));
    const FloatVector new_v = hn::MulAdd(beta2, part.load(v + i), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const FloatVector denominator = hn::MulAdd(hn::Sqrt(new_v), root_correction, eps);
    const FloatVector update = hn::Div(hn::Mul(step_size, new_m), denominator);
    const FloatVector new_param = hn::Sub(hn::Mul(part.load(param + i), decay), update);
    store_moments(new_m, new_v, m + i, v + i, part, random + i);
    part.store(new_param, param + i);
    if (working != nullptr) part.store(new_param, working + i);
  });
}

HWY_ATTR void adamw_range_float32(const AdamWTensors<float>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                                  const AdamWRounding& /*rounding*/) {
  adamw_range(t, begin, end, f, nullptr);
}

HWY_ATTR void adamw_range_bfloat16(const AdamWTensors<BFloat16>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                                   const AdamWRounding& rounding) {
  constexpr std::int64_t kChunk = 1024;
  HWY_ALIGN std::uint32_t random[kChunk + kDropoutPad];
  const RandomWords words(rounding.stream);
  for (; begin < end; begin += kChunk) {
    const std::int64_t chunk_end = std::min(end, begin + kChunk);
    words.fill(static_cast<std::uint64_t>(rounding.first_index + begin), static_cast<std::size_t>(chunk_end - begin), random);
    adamw_range(t, begin, chunk_end, f, random);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(adamw_range);

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

template <typename Moment>
void adamw_update(const AdamWTensors<Moment>& tensors, std::int64_t num_elements, float norm, const AdamWStep& step,
                  const CpuContext& context) {
  if (!std::isfinite(norm)) return;
  const AdamWFactors factors = adamw_factors(step, norm);
  const AdamWRounding rounding{step.rounding, step.first_index};
  parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(Moment, adamw_range)(tensors, begin, end, factors, rounding);
  });
}

template void adamw_update(const AdamWTensors<float>&, std::int64_t, float, const AdamWStep&, const CpuContext&);
template void adamw_update(const AdamWTensors<BFloat16>&, std::int64_t, float, const AdamWStep&, const CpuContext&);

}  // namespace virgil::cpu
#endif
