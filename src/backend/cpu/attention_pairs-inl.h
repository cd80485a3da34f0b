// Packing and tile products of attention in bfloat16 pairs. Only for AVX-512, where bfloat16_tile.h may be called.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_PAIRS_INL_H_
#undef VIRGIL_ATTENTION_PAIRS_INL_H_
#else
#define VIRGIL_ATTENTION_PAIRS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "backend/cpu/attention_pack-inl.h"
#include "backend/cpu/attention_pair_scratch.h"
#include "backend/cpu/attention_tile-inl.h"
#include "backend/cpu/bfloat16_tile.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Panels of rows [0, num_rows): a transpose of 32-bit words, each a pair. Moving them through vectors of float keeps their
/// bits.
HWY_INLINE void pack_pair_panels(BFloat16* HWY_RESTRICT out, const HeadRows<const BFloat16>& from, std::int64_t num_rows,
                                 std::int64_t head_size) {
  const HeadRows<const float> words{reinterpret_cast<const float*>(from.data), from.stride / 2};
  pack_panels(reinterpret_cast<float*>(out), words, num_rows, head_size / 2);
}

/// Row pairs of rows [begin, end), begin even; zero in the padding and for a last row without a partner.
HWY_INLINE void pack_row_pairs(BFloat16* HWY_RESTRICT out, const HeadRows<const BFloat16>& from, std::int64_t begin,
                               std::int64_t end, std::int64_t head_size) {
  const hn::CappedTag<std::uint16_t, 8> d;
  const std::int64_t width = padded_head_size(head_size);
  for (std::int64_t row = begin; row < end; row += 2, out += 2 * width) {
    const BFloat16* even = from.row(row);
    const BFloat16* odd = row + 1 < end ? from.row(row + 1) : nullptr;
    for (std::int64_t i = 0; i < width; i += 8) {
      const bool inside = i < head_size;
      const auto first = inside ? hn::LoadU(d, &even[i].bits) : hn::Zero(d);
      const auto second = inside && odd != nullptr ? hn::LoadU(d, &odd[i].bits) : hn::Zero(d);
      hn::StoreInterleaved2(first, second, d, &out[2 * i].bits);
    }
  }
}

/// out (64, 64) = rows * panel, where some query of a register tile sees the key. `rows` holds the tile's queries.
HWY_INLINE void multiply_visible_pairs(float* out, const HeadRows<const BFloat16>& rows, const BFloat16* panel,
                                       const TilePlace& place, std::int64_t head_size) {
  for (std::int64_t row = 0; row < place.num_queries; row += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_queries - row);
    const std::int64_t width = place.visible_keys(row + num_rows - 1);
    multiply_pairs({out + row * kAttentionBlock, kAttentionBlock, rows.row(row), rows.stride, 2, panel, 2 * kAttentionBlock,
                    head_size / 2, false},
                   num_rows, width);
  }
}

/// out (queries, padded head size) [+]= tile (64, 64) * row pairs of keys, for a tile that is zero where masked.
HWY_INLINE void multiply_by_key_pairs(float* out, const BFloat16* tile, const BFloat16* keys, const TilePlace& place,
                                      std::int64_t head_size, bool accumulate) {
  const std::int64_t stride = padded_head_size(head_size);
  for (std::int64_t row = 0; row < place.num_queries; row += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_queries - row);
    const std::int64_t num_pairs = ceil_div(place.visible_keys(row + num_rows - 1), 2);
    multiply_pairs(
        {out + row * stride, stride, tile + row * kAttentionBlock, kAttentionBlock, 2, keys, 2 * stride, num_pairs, accumulate},
        num_rows, head_size);
  }
}

/// out (keys, padded head size) [+]= tile^T * row pairs of queries; the tile is (32, 64, 2), two queries interleaved.
HWY_INLINE void multiply_by_query_pairs(float* out, const BFloat16* tile, const BFloat16* queries, const TilePlace& place,
                                        std::int64_t head_size, bool accumulate) {
  const std::int64_t stride = padded_head_size(head_size);
  for (std::int64_t key = 0; key < place.num_keys; key += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_keys - key);
    // Queries before the first of these keys do not see them.
    const std::int64_t begin = std::clamp(place.first_key + key - place.first_query, std::int64_t{0}, place.num_queries) / 2;
    const std::int64_t num_pairs = ceil_div(place.num_queries, 2) - begin;
    multiply_pairs({out + key * stride, stride, tile + (begin * kAttentionBlock + key) * 2, 2, 2 * kAttentionBlock,
                    queries + begin * 2 * stride, 2 * stride, num_pairs, accumulate},
                   num_rows, head_size);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();
#endif

#endif  // include guard
