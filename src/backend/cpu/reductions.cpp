#include "backend/cpu/reductions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/reductions.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// As many elements as df has lanes.
template <class DF>
HWY_INLINE hn::Vec<DF> load_floats(DF df, const float* from) {
  return hn::LoadU(df, from);
}
template <class DF>
HWY_INLINE hn::Vec<DF> load_floats(DF df, const BFloat16* from) {
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<std::uint16_t, DF> dh;
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, &from->bits))));
}

/// Sum over n elements of term(x) in float64, x a vector of float64.
template <typename T, class Term>
HWY_INLINE double sum_terms(const T* inp, std::size_t n, const Term& term) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const std::size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    sum0 = term(hn::PromoteTo(d, load_floats(df, inp + i)), sum0);
    sum1 = term(hn::PromoteTo(d, load_floats(df, inp + i + lanes)), sum1);
    sum2 = term(hn::PromoteTo(d, load_floats(df, inp + i + 2 * lanes)), sum2);
    sum3 = term(hn::PromoteTo(d, load_floats(df, inp + i + 3 * lanes)), sum3);
  }
  const hn::CappedTag<double, 1> d1;
  const hn::Rebind<float, decltype(d1)> df1;
  auto tail = hn::Zero(d1);
  for (; i < n; ++i) tail = term(hn::PromoteTo(d1, load_floats(df1, inp + i)), tail);
  const auto total = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  return hn::GetLane(hn::SumOfLanes(d, total)) + hn::GetLane(tail);
}

template <typename T>
HWY_INLINE double sum_range(const T* inp, std::int64_t n) {
  return sum_terms(inp, static_cast<std::size_t>(n), [](auto x, auto sum) HWY_ATTR { return hn::Add(sum, x); });
}

template <typename T>
HWY_INLINE double sum_of_squares_range(const T* inp, std::int64_t n) {
  return sum_terms(inp, static_cast<std::size_t>(n), [](auto x, auto sum) HWY_ATTR { return hn::MulAdd(x, x, sum); });
}

HWY_ATTR double sum_range_float32(const float* inp, std::int64_t n) { return sum_range(inp, n); }
HWY_ATTR double sum_range_bfloat16(const BFloat16* inp, std::int64_t n) { return sum_range(inp, n); }
HWY_ATTR double sum_of_squares_range_float32(const float* inp, std::int64_t n) { return sum_of_squares_range(inp, n); }
HWY_ATTR double sum_of_squares_range_bfloat16(const BFloat16* inp, std::int64_t n) { return sum_of_squares_range(inp, n); }

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(sum_range);
VIRGIL_EXPORT_PAIR(sum_of_squares_range);

namespace {

/// Elements per partial sum: fixed, so that the bits do not depend on the threads.
constexpr std::int64_t kPiece = 16384;

template <typename T, typename SumRange>
double sum_pieces(std::string_view op, const T* inp, std::int64_t num_elements, const CpuContext& context,
                  const SumRange& sum_range) {
  const std::int64_t num_pieces = ceil_div(num_elements, kPiece);
  const auto partials = workspace_as<double>(context, op, static_cast<std::size_t>(num_pieces));
  parallel_ranges(num_pieces, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t first = piece * kPiece;
      partials[static_cast<std::size_t>(piece)] = sum_range(inp + first, std::min(kPiece, num_elements - first));
    }
  });
  double total = 0;
  for (const double partial : partials) total += partial;
  return total;
}

}  // namespace

std::int64_t reduction_workspace_bytes(std::int64_t num_elements) {
  return checked_multiply(ceil_div(num_elements, kPiece), static_cast<std::int64_t>(sizeof(double)));
}

void run(const ops::ReduceSum& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.inp.dtype(), [&]<typename T>(T) {
    const double sum = sum_pieces(op.kName, op.inp.as<T>(), num_elements, context,
                                  [](const T* piece, std::int64_t n) { return VIRGIL_DISPATCH_PAIR(T, sum_range)(piece, n); });
    *op.out.as<float>() = static_cast<float>(sum);
  });
}

void run(const ops::L2Norm& op, const CpuContext& context) {
  const std::int64_t num_elements = op.check();
  with_float_type(op.kName, op.inp.dtype(), [&]<typename T>(T) {
    const double sum = sum_pieces(op.kName, op.inp.as<T>(), num_elements, context, [](const T* piece, std::int64_t n) {
      return VIRGIL_DISPATCH_PAIR(T, sum_of_squares_range)(piece, n);
    });
    *op.out.as<float>() = static_cast<float>(std::sqrt(sum) * static_cast<double>(op.scale));
  });
}

}  // namespace virgil::cpu
#endif
