// How attention is cut into pieces, and the scratch each piece takes. The same for every instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "virgil/backend/backend.h"
#include "virgil/base/shape.h"

namespace virgil::cpu {

/// Queries and keys of a tile of scores.
inline constexpr std::int64_t kAttentionBlock = 64;
inline constexpr std::int64_t kTileElements = kAttentionBlock * kAttentionBlock;
/// Rows in scratch are padded to whole vectors of the widest instruction set: 16 floats, one cache line.
inline constexpr std::int64_t kRowPad = 16;

/// Row length of packed queries, keys and values, in floats.
[[nodiscard]] inline std::int64_t padded_head_size(std::int64_t head_size) { return round_up(head_size, kRowPad); }
/// Whole blocks that hold `rows`.
[[nodiscard]] inline std::int64_t num_attention_blocks(std::int64_t rows) { return ceil_div(rows, kAttentionBlock); }

/// Scores are kept in units of ln 2, so that the exponential is a power of two: queries are scaled by this when packed.
[[nodiscard]] inline float query_scale(std::int64_t head_size) {
  return static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(head_size)));
}

/// One head of one sequence in a (B, T, ...) tensor: the row of position t starts at data + t * stride.
template <typename T>
struct HeadRows {
  T* data = nullptr;
  std::int64_t stride = 0;
  [[nodiscard]] T* row(std::int64_t t) const { return data + t * stride; }
};

/// What queries see: themselves and the positions before them, or a window of these.
struct AttentionWindow {
  std::int64_t size = 0;  // 0: all

  [[nodiscard]] std::int64_t first_key(std::int64_t query) const { return size == 0 || query < size ? 0 : query - size + 1; }
  /// The first block of keys with one that some query from `query` on sees; the positions of a block's queries begin there.
  [[nodiscard]] std::int64_t first_block(std::int64_t query) const { return first_key(query) / kAttentionBlock; }
  /// Behind the last of `blocks` blocks of queries, one of which sees a key of the block `key_block`.
  [[nodiscard]] std::int64_t end_query_block(std::int64_t key_block, std::int64_t blocks) const {
    if (size == 0) return blocks;
    const std::int64_t last_query = (key_block + 1) * kAttentionBlock - 1 + size - 1;
    return std::min(blocks, last_query / kAttentionBlock + 1);
  }
};

/// Rows of all tiles of a head of `length` positions: how often work on rows of scores is done.
[[nodiscard]] inline std::int64_t causal_rows(std::int64_t length) { return length * (num_attention_blocks(length) + 1) / 2; }

/// The part [boundary(k), boundary(k + 1)) of `blocks` query blocks such that all `parts` cost about the same under a causal
/// mask, where block i costs i + 1.
[[nodiscard]] inline std::int64_t causal_boundary(std::int64_t blocks, std::int64_t part, std::int64_t parts) {
  const double share = static_cast<double>(part) / static_cast<double>(parts);
  return std::llround(static_cast<double>(blocks) * std::sqrt(share));
}

/// Into how many parts each head is cut, so that `threads` stay busy on `heads` heads.
[[nodiscard]] inline std::int64_t parts_per_head(std::int64_t heads, std::int64_t blocks, std::int64_t threads) {
  constexpr std::int64_t kItemsPerThread = 4;
  if (heads % threads == 0) return 1;
  return std::clamp(ceil_div(kItemsPerThread * threads, heads), std::int64_t{1}, blocks);
}

}  // namespace virgil::cpu
