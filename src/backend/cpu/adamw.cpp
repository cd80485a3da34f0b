#include "backend/cpu/adamw.h"

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
  RandomStream moments;
  RandomStream param;
  std::int64_t first_index;  // a multiple of 4
};

/// A word for each element of a range, where the tensor is rounded.
struct AdamWWords {
  const std::uint32_t* moments;
  const std::uint32_t* param;
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

/// Stores parameters: float32 as they are.
HWY_INLINE void store_param(FloatVector v, float* to, auto part, const std::uint32_t* /*random*/) { part.store(v, to); }

/// bfloat16 with stochastic rounding, by the upper half of an element's random word.
HWY_INLINE void store_param(FloatVector v, BFloat16* to, auto part, const std::uint32_t* random) {
  const hn::RebindToUnsigned<FloatTag> du;
  part.store_bits(round_stochastically(v, hn::ShiftRight<16>(hn::LoadU(du, random))), to);
}

/// Elements [begin, end).
template <typename Param, typename Moment>
HWY_INLINE void adamw_range(const AdamWTensors<Param, Moment>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                            const AdamWWords& random) {
  const FloatTag d;
  const FloatVector grad_factor = hn::Set(d, f.grad_factor), eps = hn::Set(d, f.eps);
  const FloatVector beta1 = hn::Set(d, f.beta1), one_minus_beta1 = hn::Set(d, f.one_minus_beta1);
  const FloatVector beta2 = hn::Set(d, f.beta2), one_minus_beta2 = hn::Set(d, f.one_minus_beta2);
  const FloatVector decay = hn::Set(d, f.decay), step_size = hn::Set(d, f.step_size);
  const FloatVector root_correction = hn::Set(d, f.root_correction);
  Param* HWY_RESTRICT param = t.param + begin;
  Moment* HWY_RESTRICT m = t.m + begin;
  Moment* HWY_RESTRICT v = t.v + begin;
  const float* HWY_RESTRICT grad = t.grad + begin;
  BFloat16* HWY_RESTRICT working = t.working == nullptr ? nullptr : t.working + begin;
  // Multiply-adds are spelled out, as in the CUDA kernel: where the processor has them fused, the bits are the same there.
  for_each_vector(static_cast<std::size_t>(end - begin), [&](std::size_t i, auto part) HWY_ATTR {
    const FloatVector g = hn::Mul(part.load(grad + i), grad_factor);
    const FloatVector new_m = hn::MulAdd(beta1, part.load(m + i), hn::Mul(one_minus_beta1, g));
    const FloatVector new_v = hn::MulAdd(beta2, part.load(v + i), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const FloatVector denominator = hn::MulAdd(hn::Sqrt(new_v), root_correction, eps);
    const FloatVector update = hn::Div(hn::Mul(step_size, new_m), denominator);
    const FloatVector new_param = hn::MulSub(part.load(param + i), decay, update);
    store_moments(new_m, new_v, m + i, v + i, part, random.moments + i);
    store_param(new_param, param + i, part, random.param + i);
    if (working != nullptr) part.store(new_param, working + i);
  });
}

/// The same with the words that it needs, piece by piece: they stay in the nearest cache.
template <typename Param, typename Moment>
HWY_INLINE void adamw_pieces(const AdamWTensors<Param, Moment>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                             const AdamWRounding& rounding) {
  constexpr std::int64_t kPiece = 1024;
  constexpr bool kRoundsMoments = std::is_same_v<Moment, BFloat16>;
  constexpr bool kRoundsParam = std::is_same_v<Param, BFloat16>;
  HWY_ALIGN std::uint32_t moment_random[kRoundsMoments ? kPiece + kDropoutPad : 1];
  HWY_ALIGN std::uint32_t param_random[kRoundsParam ? kPiece + kDropoutPad : 1];
  const RandomWords moment_words(rounding.moments);
  const RandomWords param_words(rounding.param);
  for (; begin < end; begin += kPiece) {
    const std::int64_t piece_end = std::min(end, begin + kPiece);
    const auto first = static_cast<std::uint64_t>(rounding.first_index + begin);
    const auto count = static_cast<std::size_t>(piece_end - begin);
    if constexpr (kRoundsMoments) moment_words.fill(first, count, moment_random);
    if constexpr (kRoundsParam) param_words.fill(first, count, param_random);
    adamw_range(t, begin, piece_end, f, {moment_random, param_random});
  }
}

// Pairs by the type of the moments: of float32 parameters, and of bfloat16 ones.
HWY_ATTR void adamw_float32(const AdamWTensors<float, float>& t, std::int64_t begin, std::int64_t end, const AdamWFactors& f,
                            const AdamWRounding& /*rounding*/) {
  adamw_range(t, begin, end, f, {});
}
HWY_ATTR void adamw_bfloat16(const AdamWTensors<float, BFloat16>& t, std::int64_t begin, std::int64_t end,
                             const AdamWFactors& f, const AdamWRounding& rounding) {
  adamw_pieces(t, begin, end, f, rounding);
}
HWY_ATTR void adamw_rounded_float32(const AdamWTensors<BFloat16, float>& t, std::int64_t begin, std::int64_t end,
                                    const AdamWFactors& f, const AdamWRounding& rounding) {
  adamw_pieces(t, begin, end, f, rounding);
}
HWY_ATTR void adamw_rounded_bfloat16(const AdamWTensors<BFloat16, BFloat16>& t, std::int64_t begin, std::int64_t end,
                                     const AdamWFactors& f, const AdamWRounding& rounding) {
  adamw_pieces(t, begin, end, f, rounding);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(adamw);
VIRGIL_EXPORT_PAIR(adamw_rounded);

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

template <typename Param, typename Moment>
void adamw_update(const AdamWTensors<Param, Moment>& tensors, std::int64_t num_elements, float norm, const AdamWStep& step,
                  const CpuContext& context) {
  if (!std::isfinite(norm)) return;
  const AdamWFactors factors = adamw_factors(step, norm);
  const AdamWRounding rounding{step.rounding, weight_rounding(step.rounding), step.first_index};
  parallel_ranges(num_elements, kElementGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<Param, float>) {
      VIRGIL_DISPATCH_PAIR(Moment, adamw)(tensors, begin, end, factors, rounding);
    } else {
      VIRGIL_DISPATCH_PAIR(Moment, adamw_rounded)(tensors, begin, end, factors, rounding);
    }
  });
}

}  // namespace

void run(const ops::AdamWUpdate& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  if (op.working.present()) ops::expect_supported(op.kName, op.working.dtype(), {DType::kBFloat16});
  with_float_type(op.kName, op.param.dtype(), [&]<typename Param>(Param) {
    with_float_type(op.kName, op.m.dtype(), [&]<typename Moment>(Moment) {
      const AdamWTensors<Param, Moment> tensors{.param = op.param.as<Param>(),
                                                .working = data_or_null<BFloat16>(op.working),
                                                .m = op.m.as<Moment>(),
                                                .v = op.v.as<Moment>(),
                                                .grad = op.grad.as<float>()};
      adamw_update(tensors, num_elements, *op.norm.as<float>(), op.step, context);
    });
  });
}

}  // namespace virgil::cpu
#endif
