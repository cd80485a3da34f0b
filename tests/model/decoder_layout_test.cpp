#include "virgil/model/decoder_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "support/random_model.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

constexpr std::int64_t kDecoderAlignment = 64;

ModelConfig small_config() {
  return ModelConfig({.num_layers = 3, .num_heads = 2, .embedding_dim = 32, .block_size = 100, .vocab_size = 65});
}

TEST(DecoderLayout, TensorsAndCachesLieApart) {
  const ModelConfig config = small_config();
  const DecodeShape shape{.num_sequences = 3, .max_length = 40};
  const DecoderLayout layout(config, shape, kDecoderAlignment);
  const std::int64_t rows = 3 * layout.max_rows();
  const std::int64_t C = 32;
  std::vector<std::pair<std::int64_t, std::int64_t>> extents;
  const auto add = [&](std::int64_t offset, std::int64_t elements) { extents.emplace_back(offset, offset + 4 * elements); };
  using enum DecodeTensor;
  for (const DecodeTensor tensor : {kResidual, kResidualMid, kNorm, kAttention, kBranch})
    add(layout.offset_bytes(tensor), rows * C);
  add(layout.offset_bytes(kQkv), rows * 3 * C);
  add(layout.offset_bytes(kMlpHidden), rows * 4 * C);
  for (const DecodeTensor tensor : {kMean, kRstd, kTokens}) add(layout.offset_bytes(tensor), rows);
  add(layout.offset_bytes(kLastRows), 3 * C);
  add(layout.offset_bytes(kLogits), 3 * 128);
  for (std::int64_t layer = 0; layer < 3; ++layer) {
    add(layout.key_cache_offset(layer), 3 * 40 * C);
    add(layout.value_cache_offset(layer), 3 * 40 * C);
  }
  std::ranges::sort(extents);
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) EXPECT_LE(extents[i].second, extents[i + 1].first);
  for (const auto& [begin, end] : extents) EXPECT_EQ(begin % kDecoderAlignment, 0);
  EXPECT_GE(extents.front().first, 0);
  EXPECT_LE(extents.back().second, layout.arena_bytes());
}

TEST(DecoderLayout, CachesTwoTensorsALayer) {
  const DecoderLayout layout(small_config(), {.num_sequences = 3, .max_length = 40}, kDecoderAlignment);
  EXPECT_EQ(layout.cache_bytes(), 3 * 2 * (3 * 40 * 32 * 4));
}

TEST(DecoderLayout, PassesAreNoLongerThanTheSequence) {
  for (const auto& [length, rows] : {std::pair{1, 1}, {3, 1}, {4, 4}, {15, 4}, {16, 16}, {63, 16}, {64, 64}, {100, 64}}) {
    EXPECT_EQ(DecoderLayout(small_config(), {.num_sequences = 1, .max_length = length}, kDecoderAlignment).max_rows(), rows);
  }
}

TEST(DecoderLayout, RefusesLengthsBeyondTheBlock) {
  EXPECT_THROW(DecoderLayout(small_config(), {.num_sequences = 1, .max_length = 101}, kDecoderAlignment), InternalError);
  EXPECT_THROW(DecoderLayout(small_config(), {.num_sequences = 1, .max_length = 0}, kDecoderAlignment), InternalError);
  EXPECT_THROW(DecoderLayout(small_config(), {.num_sequences = 0, .max_length = 8}, kDecoderAlignment), InternalError);
}

}  // namespace
}  // namespace virgil
