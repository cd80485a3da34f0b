#include "virgil/model/parameter_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "virgil/base/error.h"

namespace virgil {
namespace {

Architecture gpt2_sizes(std::int64_t layers, std::int64_t heads, std::int64_t dim) {
  return {.num_layers = layers,
          .num_heads = heads,
          .embedding_dim = dim,
          .block_size = 1024,
          .vocab_size = 50257,
          .biases = kAllBiases};
}

// As published with GPT-2's weights (the paper's own table has slips): 124M, 355M, 774M, 1558M.
TEST(ParameterCount, IsExactForGpt2) {
  EXPECT_EQ(ParameterLayout(trainable(gpt2_sizes(12, 12, 768))).num_stored_parameters(), 124439808);
  EXPECT_EQ(ParameterLayout(trainable(gpt2_sizes(24, 16, 1024))).num_stored_parameters(), 354823168);
  EXPECT_EQ(ParameterLayout(trainable(gpt2_sizes(36, 20, 1280))).num_stored_parameters(), 774030080);
  EXPECT_EQ(ParameterLayout(trainable(gpt2_sizes(48, 25, 1600))).num_stored_parameters(), 1557611200);
}

TEST(ParameterCount, CountsPaddingRowsAsTrained) {
  const ParameterLayout layout(trainable(gpt2_sizes(12, 12, 768)));
  EXPECT_EQ(layout.num_parameters() - layout.num_stored_parameters(), (50304 - 50257) * 768);
}

TEST(ParameterCount, FollowsTheFormulaForRandomModels) {
  for (const bool bias : {false, true}) {
    for (const bool tied : {false, true}) {
      for (const std::int64_t d_ff : {0, 100}) {
        const std::int64_t L = 3, C = 40, T = 24, V = 70, Vp = 128, F = d_ff == 0 ? 4 * C : d_ff;
        const Architecture config = trainable({.num_layers = L,
                                               .num_heads = 5,
                                               .embedding_dim = C,
                                               .block_size = T,
                                               .vocab_size = V,
                                               .d_ff = d_ff,
                                               .biases = Biases::everywhere(bias),
                                               .tie_weights = tied});
        const std::int64_t matrices = 3 * C * C + C * C + 2 * C * F;
        const std::int64_t biases = bias ? 3 * C + C + F + C : 0;
        const std::int64_t norms = (bias ? 2 : 1) * C;
        const std::int64_t embeddings = T * C + (tied ? 1 : 2) * Vp * C;
        EXPECT_EQ(ParameterLayout(config).num_parameters(), embeddings + L * (matrices + biases + 2 * norms) + norms);
      }
    }
  }
}

TEST(ParameterLayout, NamesAndShapesAreHuggingFaces) {
  Architecture sizes{
      .num_layers = 1, .num_heads = 2, .embedding_dim = 16, .block_size = 8, .vocab_size = 65, .biases = kAllBiases};
  sizes.tie_weights = false;
  const ParameterLayout layout{trainable(sizes)};
  std::vector<std::pair<std::string, std::string>> stored;
  for (const ParameterSpec& spec : layout.parameters()) stored.emplace_back(spec.name, spec.stored_shape.to_string());
  EXPECT_THAT(
      stored,
      testing::ElementsAre(
          std::pair{"transformer.wte.weight", "(65, 16)"},  //
          std::pair{"transformer.wpe.weight", "(8, 16)"}, std::pair{"transformer.h.0.ln_1.weight", "(16)"},
          std::pair{"transformer.h.0.ln_1.bias", "(16)"}, std::pair{"transformer.h.0.attn.c_attn.weight", "(16, 48)"},
          std::pair{"transformer.h.0.attn.c_attn.bias", "(48)"}, std::pair{"transformer.h.0.attn.c_proj.weight", "(16, 16)"},
          std::pair{"transformer.h.0.attn.c_proj.bias", "(16)"}, std::pair{"transformer.h.0.ln_2.weight", "(16)"},
          std::pair{"transformer.h.0.ln_2.bias", "(16)"}, std::pair{"transformer.h.0.mlp.c_fc.weight", "(16, 64)"},
          std::pair{"transformer.h.0.mlp.c_fc.bias", "(64)"}, std::pair{"transformer.h.0.mlp.c_proj.weight", "(64, 16)"},
          std::pair{"transformer.h.0.mlp.c_proj.bias", "(16)"}, std::pair{"transformer.ln_f.weight", "(16)"},
          std::pair{"transformer.ln_f.bias", "(16)"}, std::pair{"lm_head.weight", "(65, 16)"}));
  EXPECT_EQ(layout.find("lm_head.weight").shape, (Shape{128, 16}));
  EXPECT_EQ(layout.find("transformer.wte.weight").shape, (Shape{128, 16}));
}

TEST(ParameterLayout, LeavesOutBiasesAndTheTiedHead) {
  const ParameterLayout layout(
      trainable({.num_layers = 2, .num_heads = 2, .embedding_dim = 16, .block_size = 8, .vocab_size = 65}));
  for (const ParameterSpec& spec : layout.parameters()) EXPECT_FALSE(spec.name.ends_with(".bias")) << spec.name;
  EXPECT_THROW((void)layout.find("lm_head.weight"), InternalError);
  EXPECT_EQ(layout.parameters().size(), 2U + 2U * 6U + 1U);
}

class EveryLayout : public testing::TestWithParam<std::tuple<bool, bool, int>> {
 protected:
  Architecture config_ = trainable({.num_layers = 3,
                                    .num_heads = 3,
                                    .embedding_dim = 24,
                                    .block_size = 10,
                                    .vocab_size = std::get<2>(GetParam()),
                                    .biases = Biases::everywhere(std::get<0>(GetParam())),
                                    .tie_weights = std::get<1>(GetParam())});
  ParameterLayout layout_{config_};
};

TEST_P(EveryLayout, AlignsTensorsAndKeepsThemApart) {
  std::vector<std::pair<std::int64_t, std::int64_t>> extents;
  for (const ParameterSpec& spec : layout_.parameters()) {
    EXPECT_EQ(spec.offset % ParameterLayout::kAlignment, 0) << spec.name;
    extents.emplace_back(spec.offset, spec.offset + spec.num_elements());
  }
  std::ranges::sort(extents);
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) EXPECT_LE(extents[i].second, extents[i + 1].first);
  EXPECT_EQ(extents.front().first, 0);
  EXPECT_LE(extents.back().second, layout_.flat_elements());
  EXPECT_LT(layout_.flat_elements() - extents.back().second, ParameterLayout::kAlignment);
}

TEST_P(EveryLayout, RangesCoverTheFlatBufferByGroup) {
  const auto ranges = layout_.ranges();
  ASSERT_EQ(ranges.size(), 2U);
  EXPECT_EQ(ranges[0].offset, 0);
  EXPECT_EQ(ranges[1].offset, ranges[0].num_elements);
  EXPECT_EQ(ranges[1].offset + ranges[1].num_elements, layout_.flat_elements());
  for (const ParameterSpec& spec : layout_.parameters()) {
    const auto holds = [&](const ParameterRange& range) {
      return range.offset <= spec.offset && spec.offset + spec.num_elements() <= range.offset + range.num_elements;
    };
    const auto range = std::ranges::find_if(ranges, holds);
    ASSERT_NE(range, ranges.end()) << spec.name;
    EXPECT_EQ(range->group, spec.group) << spec.name;
    EXPECT_EQ(layout_.groups()[range->group].decays(), spec.decayed) << spec.name;
  }
}

TEST_P(EveryLayout, DecaysMatricesOnly) {
  for (const ParameterSpec& spec : layout_.parameters()) EXPECT_EQ(spec.decayed, spec.shape.rank() == 2) << spec.name;
}

TEST_P(EveryLayout, StoresAPrefixOfTheRows) {
  for (const ParameterSpec& spec : layout_.parameters()) {
    ASSERT_EQ(spec.stored_shape.rank(), spec.shape.rank()) << spec.name;
    EXPECT_LE(spec.stored_shape[0], spec.shape[0]) << spec.name;
    for (int axis = 1; axis < spec.shape.rank(); ++axis) EXPECT_EQ(spec.stored_shape[axis], spec.shape[axis]) << spec.name;
    const bool holds_vocabulary = spec.name == "transformer.wte.weight" || spec.name == "lm_head.weight";
    EXPECT_EQ(spec.stored_shape[0], holds_vocabulary ? config_.vocab_size : spec.shape[0]) << spec.name;
  }
}

TEST_P(EveryLayout, NamesAreUniqueAndFound) {
  std::set<std::string> names;
  for (const ParameterSpec& spec : layout_.parameters()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    EXPECT_EQ(&layout_.find(spec.name), &spec);
  }
}

TEST_P(EveryLayout, InitialisesAsGpt2) {
  for (const ParameterSpec& spec : layout_.parameters()) {
    if (spec.shape.rank() == 2) {
      // Projections into the residual stream: 0.02 / sqrt(2 L), one for each branch that adds to it.
      const float expected = spec.name.ends_with("c_proj.weight") ? 0.02F / std::sqrt(2.0F * 3.0F) : 0.02F;
      EXPECT_EQ(spec.init, InitKind::kNormal) << spec.name;
      EXPECT_FLOAT_EQ(spec.init_std, expected) << spec.name;
    } else {
      EXPECT_EQ(spec.init, spec.name.ends_with(".bias") ? InitKind::kZeros : InitKind::kOnes) << spec.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, EveryLayout, testing::Combine(testing::Bool(), testing::Bool(), testing::Values(64, 65)));

TEST(ParameterLayout, RefusesAModelThatOverflows) {
  constexpr std::int64_t kHuge = 1 << 20;
  const Architecture config = checked({.num_layers = 1 << 14,
                                       .num_heads = kHuge,
                                       .embedding_dim = kHuge,
                                       .block_size = 8,
                                       .vocab_size = kHuge,
                                       .head_size = kHuge});
  EXPECT_THROW(ParameterLayout{config}, UserError);
}

}  // namespace
}  // namespace virgil
