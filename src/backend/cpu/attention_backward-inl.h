// The backward pass of attention for one head (FlashAttention-2, algorithm 2): probabilities are recomputed tile by tile from
// lse.
//
// With P = 2^(S - lse), Z the dropout multipliers, D = rowsum(dout * out):
//   dV = (P * Z)^T dout,  dP = dout V^T,  dS = P * (dP * Z - D),  dQ = scale dS K,  dK = scale dS^T Q.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_BACKWARD_INL_H_
#undef VIRGIL_ATTENTION_BACKWARD_INL_H_
#else
#define VIRGIL_ATTENTION_BACKWARD_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "backend/cpu/attention_backward_sizes.h"
#include "backend/cpu/attention_pack-inl.h"
#include "backend/cpu/attention_prefetch.h"
#include "backend/cpu/attention_softmax-inl.h"
#include "backend/cpu/attention_tile-inl.h"
#include "backend/cpu/philox_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// delta[t] = sum of dout * out over the head, for t in [begin, end).
template <typename T>
HWY_INLINE void compute_delta(const AttentionBackwardTask<T>& task, float* delta, std::int64_t begin, std::int64_t end) {
  for (std::int64_t t = begin; t < end; ++t) {
    FourSums sums;
    const T* dout = task.dout.row(t);
    const T* out = task.out.row(t);
    for_each_vector_by_four(static_cast<std::size_t>(task.head_size), [&](std::size_t i, auto part, int k) HWY_ATTR {
      sums.v[k] = hn::MulAdd(part.load(dout + i), part.load(out + i), sums.v[k]);
    });
    delta[t] = sums.total();
  }
}

/// One row of dscores and probabilities: on entry dP and S, on exit dS and P * Z; zero where masked.
template <bool kDropout>
HWY_INLINE void differentiate_softmax_row(float* probabilities, float* dscores, const float* multipliers, std::int64_t count,
                                          float lse, float delta) {
  const FloatTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto lses = hn::Set(d, lse);
  const auto deltas = hn::Set(d, delta);
  for (std::int64_t i = 0; i < kAttentionBlock; i += lanes) {
    if (i >= count) {
      hn::Store(hn::Zero(d), d, probabilities + i);
      hn::Store(hn::Zero(d), d, dscores + i);
      continue;
    }
    FloatVector p = exp2_up_to_127(hn::Sub(hn::Load(d, probabilities + i), lses));
    FloatVector dp = hn::Load(d, dscores + i);
    FloatVector dropped = p;
    if constexpr (kDropout) {
      const FloatVector z = hn::Load(d, multipliers + i);
      dp = hn::Mul(dp, z);
      dropped = hn::Mul(p, z);
    }
    FloatVector ds = hn::Mul(p, hn::Sub(dp, deltas));
    if (count - i < lanes) {
      const auto valid = hn::FirstN(d, static_cast<std::size_t>(count - i));
      dropped = hn::IfThenElseZero(valid, dropped);
      ds = hn::IfThenElseZero(valid, ds);
    }
    hn::Store(dropped, d, probabilities + i);
    hn::Store(ds, d, dscores + i);
  }
}

/// out (keys, padded head size) [+]= tile^T (64 keys, 64 queries) * rows (queries, padded head size).
HWY_INLINE void multiply_by_queries(float* out, const float* tile, const float* rows, const TilePlace& place,
                                    std::int64_t head_size, bool accumulate) {
  const std::int64_t stride = padded_head_size(head_size);
  for (std::int64_t key = 0; key < place.num_keys; key += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_keys - key);
    // Queries before the first of these keys do not see them.
    const std::int64_t begin = std::clamp(place.first_key + key - place.first_query, std::int64_t{0}, place.num_queries);
    multiply_tile({out + key * stride, stride, tile + begin * kAttentionBlock + key, 1, kAttentionBlock, rows + begin * stride,
                   stride, place.num_queries - begin, accumulate},
                  num_rows, head_size);
  }
}

/// Makes P * Z and dS of a tile.
template <typename T>
HWY_INLINE void recompute_tile(const AttentionBackwardTask<T>& task, const DropoutMask& mask,
                               const AttentionBackwardScratch& scratch, const TilePlace& place, RowPrefetcher<T>& next) {
  const std::int64_t stride = padded_head_size(task.head_size);
  multiply_visible(scratch.probabilities, scratch.queries + place.first_query * stride,
                   scratch.key_panels + place.first_key * stride, place, task.head_size);
  multiply_visible(scratch.dscores, scratch.douts + place.first_query * stride, scratch.value_panels + place.first_key * stride,
                   place, task.head_size);
  for (std::int64_t row = 0; row < place.num_queries; ++row) {
    next.step();
    const std::int64_t query = place.first_query + row;
    const std::int64_t count = place.seen_keys(row);
    float* probabilities = scratch.probabilities + row * kAttentionBlock;
    float* dscores = scratch.dscores + row * kAttentionBlock;
    hide_keys(probabilities, place, row);
    if (task.dropout == nullptr) {
      differentiate_softmax_row<false>(probabilities, dscores, nullptr, count, scratch.lse[query], scratch.delta[query]);
      continue;
    }
    const std::uint64_t base = task.dropout_base + static_cast<std::uint64_t>(query) * task.dropout_stride +
                               static_cast<std::uint64_t>(place.first_key);
    mask.fill(base, static_cast<std::size_t>(count), scratch.multipliers);
    differentiate_softmax_row<true>(probabilities, dscores, scratch.multipliers, count, scratch.lse[query],
                                    scratch.delta[query]);
  }
}

/// rows [begin, end) of `to` = factor * `from` (end - begin, padded head size).
template <typename T>
HWY_INLINE void write_gradient(const HeadRows<T>& to, const float* from, std::int64_t begin, std::int64_t end,
                               std::int64_t head_size, float factor) {
  const FloatTag d;
  const auto factors = hn::Set(d, factor);
  for (std::int64_t row = begin; row < end; ++row, from += padded_head_size(head_size)) {
    T* out = to.row(row);
    for_each_vector(static_cast<std::size_t>(head_size),
                    [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Mul(hn::Load(d, from + i), factors), out + i); });
  }
}

/// What differentiating the softmax takes of queries [begin, end).
template <typename T, typename Scratch>
HWY_INLINE void pack_statistics(const AttentionBackwardTask<T>& task, const Scratch& scratch, std::int64_t begin,
                                std::int64_t end) {
  compute_delta(task, scratch.delta, begin, end);
  for (std::int64_t t = begin; t < end; ++t) scratch.lse[t] = task.lse[t] * std::numbers::log2e_v<float>;
}

/// Packs what the task's tiles read of keys and values [0, end_key).
template <typename T>
HWY_INLINE void pack_keys_and_values(const AttentionBackwardTask<T>& task, const AttentionBackwardScratch& scratch,
                                     std::int64_t end_key) {
  const std::int64_t HS = task.head_size;
  pack_panels(scratch.key_panels, task.keys, end_key, HS);
  pack_panels(scratch.value_panels, task.values, end_key, HS);
  pack_rows(scratch.keys, task.keys, 0, end_key, HS, 1.0F);
}

/// The same of queries [begin, end), and what belongs to them.
template <typename T>
HWY_INLINE void pack_queries(const AttentionBackwardTask<T>& task, const AttentionBackwardScratch& scratch, std::int64_t begin,
                             std::int64_t end) {
  const std::int64_t HS = task.head_size;
  const std::int64_t offset = begin * padded_head_size(HS);
  pack_rows(scratch.queries + offset, task.queries, begin, end, HS, query_scale(HS));
  pack_rows(scratch.douts + offset, task.dout, begin, end, HS, 1.0F);
  pack_statistics(task, scratch, begin, end);
}

/// The place of keys from `first_key` on among the rows that a task sums.
template <typename T>
HWY_INLINE std::int64_t summed_offset(const AttentionBackwardTask<T>& task, std::int64_t first_key) {
  return task.num_heads == 1 ? 0 : first_key * padded_head_size(task.head_size);
}

template <typename T>
HWY_INLINE void add_key_gradients(const AttentionBackwardTask<T>& task, const AttentionBackwardScratch& scratch,
                                  const TilePlace& place, bool accumulate) {
  const std::int64_t from = place.first_query * padded_head_size(task.head_size);
  const std::int64_t to = summed_offset(task, place.first_key);
  multiply_by_queries(scratch.dvalues + to, scratch.probabilities, scratch.douts + from, place, task.head_size, accumulate);
  multiply_by_queries(scratch.dkeys + to, scratch.dscores, scratch.queries + from, place, task.head_size, accumulate);
}

template <typename T>
HWY_INLINE void add_query_gradients(const AttentionBackwardTask<T>& task, const AttentionBackwardScratch& scratch,
                                    const TilePlace& place, bool accumulate) {
  const std::int64_t stride = padded_head_size(task.head_size);
  multiply_by_keys(scratch.dqueries + place.first_query * stride, scratch.dscores, scratch.keys + place.first_key * stride,
                   place, task.head_size, accumulate);
}

/// What is left of the keys' scale: queries were scaled by log2(e) / sqrt(HS).
HWY_INLINE float key_gradient_factor(const AttentionBackwardScratch& /*scratch*/, std::int64_t /*head_size*/) {
  return std::numbers::ln2_v<float>;
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
