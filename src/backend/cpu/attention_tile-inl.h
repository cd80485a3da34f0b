// Products of tiles under the causal mask.
//
// A tile holds 64 queries and 64 keys. Query i of the tile sees its first visible_keys(...) keys; what lies beyond is not
// computed where a whole register tile is masked, and is zero in every tile of probabilities.
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

  /// Keys of the tile that query `row` of the tile sees; 0 when the whole row is masked.
  [[nodiscard]] HWY_INLINE std::int64_t visible_keys(std::int64_t row) const {
    return std::clamp(first_query + row - first_key + 1, std::int64_t{0}, num_keys);
  }
};

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
