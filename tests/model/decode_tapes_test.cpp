#include "virgil/model/decode_tapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {
namespace {

constexpr std::int64_t kDecoderAlignment = 64;

Architecture small_config() {
  return trainable({.num_layers = 3, .num_heads = 2, .embedding_dim = 32, .block_size = 100, .vocab_size = 65});
}

DecodeTapes tapes_of(const DecodeShape& shape) {
  const Architecture config = small_config();
  return {config, shape, ParameterLayout(config), kDecoderAlignment};
}

TEST(DecodeTapes, CachesLieBesideEachOtherAndAllElseBehindThem) {
  const DecodeTapes tapes = tapes_of({.num_sequences = 3, .max_length = 40});
  const std::int64_t one_cache = 3 * 40 * 32 * 4;
  EXPECT_EQ(tapes.cache_bytes(), 3 * 2 * one_cache);
  for (std::int64_t layer = 0; layer < 3; ++layer) {
    EXPECT_EQ(tapes.key_cache(layer).offset_bytes, 2 * layer * one_cache);
    EXPECT_EQ(tapes.value_cache(layer).offset_bytes, (2 * layer + 1) * one_cache);
    EXPECT_EQ(tapes.layer_caches(layer).size(), 2);
  }
  for (const ActivationSpec& activation : tapes.arena().activations()) {
    EXPECT_GE(activation.offset_bytes, tapes.cache_bytes()) << activation.name;
    EXPECT_LE(activation.offset_bytes + activation.size_bytes, tapes.arena_bytes()) << activation.name;
  }
}

TEST(DecodeTapes, ConvolutionsHaveCachesOfTheirInputs) {
  Architecture config = small_config();
  config.family = &kVirgilFamily;
  config.conv_taps = 3;
  const DecodeTapes tapes(config, {.num_sequences = 3, .max_length = 40}, ParameterLayout(config), kDecoderAlignment);
  const std::int64_t one_cache = 3 * 40 * 32 * 4;  // as keys and values have
  EXPECT_EQ(tapes.cache_bytes(), 3 * 4 * one_cache);
  for (std::int64_t layer = 0; layer < 3; ++layer) {
    const std::vector<DecodeTapes::Cache> caches = tapes.layer_caches(layer);
    ASSERT_EQ(caches.size(), 4);
    for (std::size_t i = 0; i < caches.size(); ++i) {
      EXPECT_EQ(caches[i].offset_bytes, (4 * layer + static_cast<std::int64_t>(i)) * one_cache);
      EXPECT_EQ(caches[i].sequence_shape.num_elements(), 40 * 32);
    }
  }
}

TEST(DecodeTapes, AllPassesHaveTheTensorsOfTheLargest) {
  const Architecture config = small_config();
  const ParameterLayout parameters(config);
  const DecodeTapes tapes(config, {.num_sequences = 3, .max_length = 40}, parameters, kDecoderAlignment);
  const DecodePass largest = tapes.record(config, parameters, {3, 16});
  for (const DecodePassSize& size : tapes.sizes()) {
    const DecodePass pass = tapes.record(config, parameters, size);
    const auto tensors = pass.placed.tape.tensors();
    ASSERT_EQ(tensors.size(), largest.placed.tape.tensors().size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].name, largest.placed.tape.tensors()[i].name);
      EXPECT_LE(tensors[i].shape.num_elements(), largest.placed.tape.tensors()[i].shape.num_elements()) << tensors[i].name;
    }
    // What lies at the same bytes does not live at the same time, in any of them.
    const std::vector<Life> lives = pass.placed.tape.lives();
    for (std::size_t a = 0; a < lives.size(); ++a) {
      for (std::size_t b = a + 1; b < lives.size(); ++b) {
        const auto extent = [&](std::size_t i) {
          const std::int64_t begin = pass.placed.arena->offset_of(static_cast<std::int32_t>(i));
          return std::pair{begin, begin + tensors[i].shape.num_elements() * size_of(tensors[i].dtype)};
        };
        const auto placed = [&](std::size_t i) {
          return tensors[i].slot == PlanSlot::kActivations && !tensors[i].offset_bytes && lives[i].first >= 0;
        };
        if (!placed(a) || !placed(b) || !lives[a].meets(lives[b])) continue;
        EXPECT_TRUE(extent(a).second <= extent(b).first || extent(b).second <= extent(a).first)
            << tensors[a].name << " and " << tensors[b].name;
      }
    }
  }
}

TEST(DecodeTapes, PassesAreForOneSequenceAndForAll) {
  const DecodeTapes tapes = tapes_of({.num_sequences = 3, .max_length = 40});
  using Sizes = std::vector<DecodePassSize>;
  EXPECT_EQ(Sizes(tapes.sizes().begin(), tapes.sizes().end()), (Sizes{{1, 16}, {3, 16}, {1, 4}, {3, 4}, {1, 1}, {3, 1}}));
  EXPECT_EQ(tapes_of({.num_sequences = 1, .max_length = 4}).sizes().size(), 2U);
}

TEST(DecodeTapes, PassesAreNoLongerThanTheSequence) {
  for (const auto& [length, rows] : {std::pair{1, 1}, {3, 1}, {4, 4}, {15, 4}, {16, 16}, {63, 16}, {64, 64}, {100, 64}}) {
    EXPECT_EQ(tapes_of({.num_sequences = 1, .max_length = length}).max_rows(), rows);
  }
}

TEST(DecodeTapes, RefusesLengthsBeyondTheBlock) {
  EXPECT_THROW(tapes_of({.num_sequences = 1, .max_length = 101}), InternalError);
  EXPECT_THROW(tapes_of({.num_sequences = 1, .max_length = 0}), InternalError);
  EXPECT_THROW(tapes_of({.num_sequences = 0, .max_length = 8}), InternalError);
}

}  // namespace
}  // namespace virgil
