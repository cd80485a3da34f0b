// Products of tiles under the causal mask.
//
// A tile holds 64 queries and 64 keys. Query i of the tile sees its first visible_keys(...) keys, less those that have left its
// window; what lies beyond is not computed where a whole register tile is masked, and is zero in every tile of probabilities.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_TILE_INL_H_
#undef VIRGIL_ATTENTION_TILE_INL_H_
#else
#define VIRGIL_ATTENTION_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "backend/cpu/attention_sizes.h"
#include "backend/cpu/register_tile-inl.h"
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// Where a tile lies: positions of its first query and key, and how many of each it has (at most 64).
struct TilePlace {
  std::int64_t first_query;
  std::int64_t first_key;
  std::int64_t num_queries;
  std::int64_t num_keys;
  AttentionWindow window;

  /// Keys of the tile that do not stand behind query `row` of the tile.
  [[nodiscard]] HWY_INLINE std::int64_t visible_keys(std::int64_t row) const {
    return std::clamp(first_query + row - first_key + 1, std::int64_t{0}, num_keys);
  }
  /// The first of them that have left its window.
  [[nodiscard]] HWY_INLINE std::int64_t hidden_keys(std::int64_t row) const {
    return std::clamp(window.first_key(first_query + row) - first_key, std::int64_t{0}, num_keys);
  }
  /// visible_keys(), or 0 where the query sees none of them.
  [[nodiscard]] HWY_INLINE std::int64_t seen_keys(std::int64_t row) const {
    const std::int64_t count = visible_keys(row);
    return hidden_keys(row) < count ? count : 0;
  }
};

/// Scores of keys that have left the window of query `row` become those of weight zero. `scores` is its row.
HWY_INLINE void hide_keys(float* scores, const TilePlace& place, std::int64_t row) {
  std::fill_n(scores, place.hidden_keys(row), -std::numeric_limits<float>::infinity());
}

/// out (64, 64) = rows (queries, padded head size) * panel (head size, 64), where some query of a register tile sees the key.
HWY_INLINE void multiply_visible(float* out, const float* rows, const float* panel, const TilePlace& place,
                                 std::int64_t head_size) {
  const std::int64_t stride = padded_head_size(head_size);
  for (std::int64_t row = 0; row < place.num_queries; row += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_queries - row);
    const std::int64_t width = place.visible_keys(row + num_rows - 1);
    multiply_tile({out + row * kAttentionBlock, kAttentionBlock, rows + row * stride, stride, 1, panel, kAttentionBlock,
                   head_size, false},
                  num_rows, width);
  }
}

/// out (queries, padded head size) [+]= tile (64, 64) * rows (keys, padded head size), for a tile that is zero where masked.
HWY_INLINE void multiply_by_keys(float* out, const float* tile, const float* rows, const TilePlace& place,
                                 std::int64_t head_size, bool accumulate) {
  const std::int64_t stride = padded_head_size(head_size);
  for (std::int64_t row = 0; row < place.num_queries; row += kTileRows) {
    const std::int64_t num_rows = std::min<std::int64_t>(kTileRows, place.num_queries - row);
    const std::int64_t depth = place.visible_keys(row + num_rows - 1);
    multiply_tile(
        {out + row * stride, stride, tile + row * kAttentionBlock, kAttentionBlock, 1, rows, stride, depth, accumulate},
        num_rows, head_size);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
