#include "virgil/model/parameter_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/user_error.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Architecture grouped_model() {
  return trainable(
      {.num_layers = 3, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65, .biases = kAllBiases});
}

OptimizerTraits of_whole_tensors() {
  OptimizerTraits traits = traits_of(OptimizerKind::kAdamW);
  traits.shard_rule = ShardRule::kWholeTensors;
  return traits;
}

/// Block matrices as wholes, attention apart from the rest; then all that remains.
std::vector<ParameterGroup> groups_of_three() {
  return {{.name = "attention", .patterns = {"*.attn.*"}, .kinds = {BucketKind::kLayer}, .optimizer = of_whole_tensors()},
          {.name = "blocks", .kinds = {BucketKind::kLayer}, .optimizer = of_whole_tensors(), .learning_rate_factor = 2},
          {.name = "rest", .optimizer = of_whole_tensors(), .weight_decay_factor = 0}};
}

TEST(ParameterGroups, PatternsMatchWholeNames) {
  EXPECT_TRUE(matches_pattern("*", ""));
  EXPECT_TRUE(matches_pattern("*.attn.*", "transformer.h.0.attn.c_attn.weight"));
  EXPECT_TRUE(matches_pattern("transformer.h.?.ln_1.*", "transformer.h.7.ln_1.weight"));
  EXPECT_TRUE(matches_pattern("*a*b*", "xxaybb"));
  EXPECT_TRUE(matches_pattern("wte**", "wte"));
  EXPECT_FALSE(matches_pattern("", "a"));
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_FALSE(matches_pattern("transformer.h.?.ln_1.*", "transformer.h.17.ln_1.weight"));
  EXPECT_FALSE(matches_pattern("*.attn", "transformer.h.0.attn.c_attn.weight"));
  EXPECT_FALSE(matches_pattern("attn.*", "transformer.h.0.attn.c_attn.weight"));
  EXPECT_FALSE(matches_pattern("[ab]", "a"));
}

TEST(ParameterGroups, LongPatternsTakeNoTime) {
  std::string stars;
  for (int i = 0; i < 1000; ++i) stars += "a*";
  EXPECT_FALSE(matches_pattern(stars + "b", std::string(5000, 'a')));
}

TEST(ParameterGroups, TheFirstThatMatchesTakesAParameter) {
  const std::vector<GroupedParameter> parameters = {{"wte", BucketKind::kEmbeddings},
                                                    {"h.0.attn", BucketKind::kLayer},
                                                    {"h.0.mlp", BucketKind::kLayer},
                                                    {"h.0.attn.bias", BucketKind::kVectors}};
  const std::vector<ParameterGroup> groups = {{.name = "blocks", .patterns = {"h.*"}, .kinds = {BucketKind::kLayer}},
                                              {.name = "attention", .patterns = {"*.attn*", "wpe", "*"}},
                                              {.name = "none", .patterns = {"*"}}};
  const auto without_wpe = [&] {
    std::vector<ParameterGroup> some = groups;
    std::erase(some[1].patterns, "wpe");
    return some;
  };
  EXPECT_THAT(assign_groups(parameters, without_wpe()), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(user_error_of([&] { (void)assign_groups(parameters, groups); }),
              AllOf(HasSubstr("\"wpe\""), HasSubstr("\"attention\" matches no parameter"), HasSubstr("did you mean wte?")));
}

TEST(ParameterGroups, WhatMatchesNothingIsNamedBesideNamesThatExist) {
  std::vector<ParameterGroup> groups = default_groups();
  groups.insert(groups.begin(), {.name = "heads", .patterns = {"encoder.*"}});
  EXPECT_THAT(user_error_of([&] { ParameterLayout(grouped_model(), 1, groups); }),
              AllOf(HasSubstr("\"encoder.*\""), HasSubstr("names look like transformer.wte.weight, transformer.wpe.weight, "
                                                          "transformer.h.0.ln_1.weight")));
}

TEST(ParameterGroups, WhatIsLeftOverOrOvershadowedIsAnError) {
  const std::vector<GroupedParameter> parameters = {{"wte", BucketKind::kEmbeddings}, {"ln", BucketKind::kVectors}};
  const std::vector<ParameterGroup> left_over = {{.name = "all", .patterns = {"w*"}}};
  EXPECT_THAT(user_error_of([&] { (void)assign_groups(parameters, left_over); }),
              AllOf(HasSubstr("no parameter group takes ln"), HasSubstr("\"*\"")));
  const std::vector<ParameterGroup> overshadowed = {{.name = "all"}, {.name = "norms", .patterns = {"ln"}}};
  EXPECT_THAT(user_error_of([&] { (void)assign_groups(parameters, overshadowed); }),
              AllOf(HasSubstr("\"norms\" (ln) takes nothing"), HasSubstr("before them")));
}

TEST(ParameterGroups, FactorsAreNumbersFromZero) {
  const std::vector<GroupedParameter> parameters = {{"wte", BucketKind::kEmbeddings}};
  for (const double bad : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const std::vector<ParameterGroup> decay = {{.name = "all", .weight_decay_factor = bad}};
    const std::vector<ParameterGroup> rate = {{.name = "all", .learning_rate_factor = bad}};
    EXPECT_THROW((void)assign_groups(parameters, decay), UserError);
    EXPECT_THROW((void)assign_groups(parameters, rate), UserError);
  }
}

TEST(ParameterGroups, EachIsOneRunOfTheFlatBuffer) {
  const ParameterLayout layout(grouped_model(), 2, groups_of_three());
  ASSERT_EQ(layout.ranges().size(), 3U);
  std::int64_t end = 0;
  for (const ParameterRange& range : layout.ranges()) {
    EXPECT_EQ(range.offset, end);
    end += range.num_elements;
  }
  EXPECT_EQ(end, layout.flat_elements());
  for (const ParameterSpec& spec : layout.parameters()) {
    const bool is_block_matrix = spec.layer >= 0 && spec.shape.rank() == 2;
    const std::size_t expected = !is_block_matrix ? 2U : spec.name.find(".attn.") != std::string::npos ? 0U : 1U;
    EXPECT_EQ(spec.group, expected) << spec.name;
    const ParameterRange& range = layout.ranges()[expected];
    EXPECT_GE(spec.offset, range.offset) << spec.name;
    EXPECT_LE(spec.offset + spec.num_elements(), range.offset + range.num_elements) << spec.name;
    EXPECT_EQ(spec.decayed, expected != 2) << spec.name;
  }
}

class WholeTensors : public testing::TestWithParam<std::int64_t> {};

TEST_P(WholeTensors, LieInOnePartEach) {
  const std::int64_t shards = GetParam();
  const ParameterLayout layout(grouped_model(), shards, groups_of_three());
  const ParameterLayout alone(grouped_model(), 1, groups_of_three());
  std::vector<std::pair<std::int64_t, std::int64_t>> extents;
  for (const ParameterSpec& spec : layout.parameters()) {
    const ParameterBucket& bucket = layout.buckets()[layout.bucket_of(spec.offset)];
    ASSERT_EQ(bucket.num_elements % (shards * ParameterLayout::kAlignment), 0);
    const std::int64_t part = bucket.num_elements / shards;
    const std::int64_t last = spec.offset + spec.num_elements() - 1;
    EXPECT_EQ((spec.offset - bucket.offset) / part, (last - bucket.offset) / part) << spec.name;
    EXPECT_EQ(spec.offset % ParameterLayout::kAlignment, 0) << spec.name;
    EXPECT_EQ(spec.lone_offset, alone.find(spec.name).offset) << spec.name;
    extents.emplace_back(spec.offset, last);
  }
  std::ranges::sort(extents);
  for (std::size_t i = 0; i + 1 < extents.size(); ++i) EXPECT_LT(extents[i].second, extents[i + 1].first);
}

INSTANTIATE_TEST_SUITE_P(Shards, WholeTensors, testing::Values(1, 2, 3, 4, 8, 13));

TEST(ParameterGroups, BucketsOfALayerStandSideBySideInTheWindow) {
  for (const std::int64_t shards : {2, 3}) {
    const ParameterLayout layout(grouped_model(), shards, groups_of_three());
    const GradientLayout gradients(layout, true);
    for (std::size_t a = 0; a < layout.buckets().size(); ++a) {
      const ParameterBucket& first = layout.buckets()[a];
      EXPECT_LE(gradients.offset_of(a) + first.num_elements, gradients.num_elements());
      for (std::size_t b = 0; b < a; ++b) {
        const ParameterBucket& second = layout.buckets()[b];
        const bool overlap = gradients.offset_of(a) < gradients.offset_of(b) + second.num_elements &&
                             gradients.offset_of(b) < gradients.offset_of(a) + first.num_elements;
        const bool take_turns = first.kind == BucketKind::kLayer && second.kind == BucketKind::kLayer &&
                                first.layer != second.layer && (first.layer - second.layer) % 2 == 0;
        EXPECT_TRUE(!overlap || take_turns) << a << " and " << b;
      }
    }
  }
}

}  // namespace
}  // namespace virgil
