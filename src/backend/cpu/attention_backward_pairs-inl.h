// The steps of attention_backward-inl.h on bfloat16 pairs: probabilities and the gradients of scores are computed in float32
// and rounded to bfloat16 before they are multiplied by the gradient of the output, keys and queries.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_BACKWARD_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_BACKWARD_PAIRS_INL_H_
#undef VIRGIL_ATTENTION_BACKWARD_PAIRS_INL_H_
#else
#define VIRGIL_ATTENTION_BACKWARD_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <numbers>

#include "backend/cpu/attention_backward-inl.h"
#include "backend/cpu/attention_backward_sizes.h"
#include "backend/cpu/attention_pairs-inl.h"
#include "backend/cpu/attention_prefetch.h"
#include "backend/cpu/attention_softmax-inl.h"
#include "backend/cpu/philox_simd-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Of one query: where its scores and dP stand, and what belongs to it.
struct QueryRow {
  const float* scores;
  const float* dprobabilities;
  const float* multipliers;  // null without dropout
  std::int64_t count;        // visible keys; 0 for a query that is not there
  float lse;
  float delta;
};

struct SoftmaxGradient {
  FloatVector dropped;  // P * Z
  FloatVector dscores;  // P * (dP * Z - delta)
};

/// Keys i, i + 1, ... of a row; zero where masked.
HWY_INLINE SoftmaxGradient differentiate_softmax(const QueryRow& row, std::int64_t i, float scale) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (i >= row.count) return {hn::Zero(d), hn::Zero(d)};
  FloatVector p = exp2_up_to_127(hn::MulSub(hn::Load(d, row.scores + i), hn::Set(d, scale), hn::Set(d, row.lse)));
  if (row.count - i < lanes) p = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(row.count - i)), p);
  FloatVector dp = hn::Load(d, row.dprobabilities + i);
  FloatVector dropped = p;
  if (row.multipliers != nullptr) {
    const FloatVector z = hn::Load(d, row.multipliers + i);
    dp = hn::Mul(dp, z);
    dropped = hn::Mul(p, z);
  }
  FloatVector ds = hn::Mul(p, hn::Sub(dp, hn::Set(d, row.delta)));
  if (row.count - i < lanes) ds = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(row.count - i)), ds);
  return {dropped, ds};
}

/// Two rows of bfloat16 interleaved.
HWY_INLINE void store_pairs(FloatVector even, FloatVector odd, BFloat16* out) {
  const hn::RebindToUnsigned<FloatTag> du;
  const auto low = hn::PromoteTo(du, round_to_bfloat16(even));
  const auto high = hn::ShiftLeft<16>(hn::PromoteTo(du, round_to_bfloat16(odd)));
  hn::StoreU(hn::BitCast(HalfPairTag(), hn::Or(low, high)), HalfPairTag(), &out->bits);
}

/// Makes P * Z and dS of two queries of a tile, `even` being row 2 r.
HWY_INLINE void differentiate_softmax_rows(const PairBackwardScratch& scratch, std::int64_t even_row, const QueryRow& even,
                                           const QueryRow& odd, float scale) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(FloatTag()));
  for (std::int64_t i = 0; i < kAttentionBlock; i += lanes) {
    const SoftmaxGradient first = differentiate_softmax(even, i, scale);
    const SoftmaxGradient second = differentiate_softmax(odd, i, scale);
    const std::int64_t pair = even_row * kAttentionBlock + 2 * i;
    store_pairs(first.dropped, second.dropped, scratch.probability_pairs + pair);
    store_pairs(first.dscores, second.dscores, scratch.dscore_pairs + pair);
    WholeVector().store(first.dscores, scratch.dscores + even_row * kAttentionBlock + i);
    WholeVector().store(second.dscores, scratch.dscores + (even_row + 1) * kAttentionBlock + i);
  }
}

HWY_INLINE QueryRow query_row(const AttentionBackwardTask<BFloat16>& task, const DropoutMask& mask,
                              const PairBackwardScratch& scratch, const TilePlace& place, std::int64_t row) {
  if (row >= place.num_queries) return {nullptr, nullptr, nullptr, 0, 0, 0};
  const std::int64_t query = place.first_query + row;
  const std::int64_t count = place.seen_keys(row);
  hide_keys(scratch.scores + row * kAttentionBlock, place, row);
  float* multipliers = nullptr;
  if (task.dropout != nullptr) {
    multipliers = scratch.multipliers + row % 2 * kAttentionBlock;
    const std::uint64_t base = task.dropout_base + static_cast<std::uint64_t>(query) * task.dropout_stride +
                               static_cast<std::uint64_t>(place.first_key);
    mask.fill(base, static_cast<std::size_t>(count), multipliers);
  }
  return {scratch.scores + row * kAttentionBlock,
          scratch.dprobabilities + row * kAttentionBlock,
          multipliers,
          count,
          scratch.lse[query],
          scratch.delta[query]};
}

/// Makes P * Z and dS of a tile.
HWY_INLINE void recompute_tile(const AttentionBackwardTask<BFloat16>& task, const DropoutMask& mask,
                               const PairBackwardScratch& scratch, const TilePlace& place, RowPrefetcher<BFloat16>& next) {
  const std::int64_t panel = place.first_key / kAttentionBlock * pair_panel_elements(task.head_size);
  const HeadRows<const BFloat16> queries{task.queries.row(place.first_query), task.queries.stride};
  const HeadRows<const BFloat16> douts{task.dout.row(place.first_query), task.dout.stride};
  multiply_visible_pairs(scratch.scores, queries, scratch.key_panels + panel, place, task.head_size);
  multiply_visible_pairs(scratch.dprobabilities, douts, scratch.value_panels + panel, place, task.head_size);
  for (std::int64_t row = 0; row < place.num_queries; row += 2) {
    next.step();
    next.step();
    differentiate_softmax_rows(scratch, row, query_row(task, mask, scratch, place, row),
                               query_row(task, mask, scratch, place, row + 1), query_scale(task.head_size));
  }
}

HWY_INLINE void pack_keys_and_values(const AttentionBackwardTask<BFloat16>& task, const PairBackwardScratch& scratch,
                                     std::int64_t end_key) {
  const std::int64_t HS = task.head_size;
  pack_pair_panels(scratch.key_panels, task.keys, end_key, HS);
  pack_pair_panels(scratch.value_panels, task.values, end_key, HS);
  if (task.gradients != AttentionGradients::kKeysAndValues) pack_row_pairs(scratch.keys, task.keys, 0, end_key, HS);
}

HWY_INLINE void pack_queries(const AttentionBackwardTask<BFloat16>& task, const PairBackwardScratch& scratch,
                             std::int64_t begin, std::int64_t end) {
  if (task.gradients != AttentionGradients::kQueries) {
    const std::int64_t offset = begin * padded_head_size(task.head_size);
    pack_row_pairs(scratch.queries + offset, task.queries, begin, end, task.head_size);
    pack_row_pairs(scratch.douts + offset, task.dout, begin, end, task.head_size);
  }
  pack_statistics(task, scratch, begin, end);
}

HWY_INLINE void add_key_gradients(const AttentionBackwardTask<BFloat16>& task, const PairBackwardScratch& scratch,
                                  const TilePlace& place, bool accumulate) {
  const std::int64_t from = place.first_query * padded_head_size(task.head_size);
  const std::int64_t to = summed_offset(task, place.first_key);
  multiply_by_query_pairs(scratch.dvalues + to, scratch.probability_pairs, scratch.douts + from, place, task.head_size,
                          accumulate);
  multiply_by_query_pairs(scratch.dkeys + to, scratch.dscore_pairs, scratch.queries + from, place, task.head_size, accumulate);
}

HWY_INLINE void add_query_gradients(const AttentionBackwardTask<BFloat16>& task, const PairBackwardScratch& scratch,
                                    const TilePlace& place, bool accumulate) {
  const std::int64_t stride = padded_head_size(task.head_size);
  multiply_by_key_pairs(scratch.dqueries + place.first_query * stride, scratch.dscores, scratch.keys + place.first_key * stride,
                        place, task.head_size, accumulate);
}

/// Neither queries nor keys were scaled.
HWY_INLINE float key_gradient_factor(const PairBackwardScratch& /*scratch*/, std::int64_t head_size) {
  return query_scale(head_size) * std::numbers::ln2_v<float>;
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();
#endif

#endif  // include guard
