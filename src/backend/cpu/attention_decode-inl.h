// Attention of single new rows to a cache of keys and values: every key is read once, so memory sets the speed.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_DECODE_INL_H_
#undef VIRGIL_ATTENTION_DECODE_INL_H_
#else
#define VIRGIL_ATTENTION_DECODE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "backend/cpu/attention_decode_sizes.h"
#include "backend/cpu/attention_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename T>
HWY_INLINE float dot(const T* a, const T* b, std::int64_t count) {
  FourSums sums;
  for_each_vector_by_four(static_cast<std::size_t>(count), [&](std::size_t i, auto part, int k) HWY_ATTR {
    sums.v[k] = hn::MulAdd(part.load(a + i), part.load(b + i), sums.v[k]);
  });
  return sums.total();
}

/// out (head size) = sum over num_rows rows of weights[j] * rows[j].
template <typename T>
HWY_INLINE void weighted_sum(float* out, const float* weights, const T* rows, std::int64_t num_rows, std::int64_t head_size) {
  const FloatTag d;
  for_each_vector(static_cast<std::size_t>(head_size), [&](std::size_t i, auto part) HWY_ATTR {
    FourSums sums;
    std::int64_t j = 0;
    for (; j + 4 <= num_rows; j += 4) {
      for (std::int64_t k = 0; k < 4; ++k) {
        const auto row = part.load(rows + (j + k) * head_size + static_cast<std::int64_t>(i));
        sums.v[k] = hn::MulAdd(hn::Set(d, weights[j + k]), row, sums.v[k]);
      }
    }
    for (; j < num_rows; ++j) {
      const auto row = part.load(rows + j * head_size + static_cast<std::int64_t>(i));
      sums.v[0] = hn::MulAdd(hn::Set(d, weights[j]), row, sums.v[0]);
    }
    hn::StoreU(hn::Add(hn::Add(sums.v[0], sums.v[1]), hn::Add(sums.v[2], sums.v[3])), d, out + i);
  });
}

/// One split: the softmax and the weighted sum over its keys alone.
template <typename T>
HWY_INLINE void decode_split(const DecodeSplit<T>& split, float* partial_data) {
  const DecodePartial partial(partial_data, split.head_size);
  HWY_ALIGN float scores[kDecodeSplit];
  const float scale = query_scale(split.head_size);
  for (std::int64_t j = 0; j < split.num_keys; ++j) {
    scores[j] = scale * dot(split.query, split.keys + j * split.head_size, split.head_size);
  }
  float max = -std::numeric_limits<float>::infinity();
  for (std::int64_t j = 0; j < split.num_keys; j += kAttentionBlock) {
    max = std::max(max, max_of_row(scores + j, std::min(kAttentionBlock, split.num_keys - j)));
  }
  float sum = 0;
  for (std::int64_t j = 0; j < split.num_keys; j += kAttentionBlock) {
    sum += exponentiate_row(scores + j, std::min(kAttentionBlock, split.num_keys - j), max);
  }
  weighted_sum(partial.sums, scores, split.values, split.num_keys, split.head_size);
  *partial.max = max;
  *partial.sum = sum;
}

/// out (head size) from the partial results of all splits of a row, in their order.
template <typename T>
HWY_INLINE void combine_splits(T* out, const float* partials, std::int64_t num_splits, std::int64_t head_size) {
  const FloatTag d;
  const std::int64_t stride = DecodePartial::count(head_size);
  float max = -std::numeric_limits<float>::infinity();
  for (std::int64_t s = 0; s < num_splits; ++s) max = std::max(max, *ConstDecodePartial(partials + s * stride, head_size).max);
  HWY_ALIGN float sums[kMaxHeadSize] = {};
  float sum = 0;
  for (std::int64_t s = 0; s < num_splits; ++s) {
    const ConstDecodePartial partial(partials + s * stride, head_size);
    const auto weight = exp2_up_to_127(hn::Set(d, *partial.max - max));
    sum += hn::GetLane(weight) * *partial.sum;
    for_each_vector(static_cast<std::size_t>(head_size), [&](std::size_t i, auto) HWY_ATTR {
      hn::Store(hn::MulAdd(weight, hn::Load(d, partial.sums + i), hn::Load(d, sums + i)), d, sums + i);
    });
  }
  const auto inverse = hn::Set(d, 1.0F / sum);
  for_each_vector(static_cast<std::size_t>(head_size),
                  [&](std::size_t i, auto part) HWY_ATTR { part.store(hn::Mul(hn::Load(d, sums + i), inverse), out + i); });
}

HWY_ATTR void decode_split_float32(const DecodeSplit<float>& split, float* partial) { decode_split(split, partial); }
HWY_ATTR void decode_split_bfloat16(const DecodeSplit<BFloat16>& split, float* partial) { decode_split(split, partial); }
HWY_ATTR void combine_splits_float32(float* out, const float* partials, std::int64_t num_splits, std::int64_t head_size) {
  combine_splits(out, partials, num_splits, head_size);
}
HWY_ATTR void combine_splits_bfloat16(BFloat16* out, const float* partials, std::int64_t num_splits, std::int64_t head_size) {
  combine_splits(out, partials, num_splits, head_size);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
