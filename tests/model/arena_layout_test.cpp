#include "virgil/model/arena_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "support/fake_traits.h"
#include "support/random_model.h"
#include "virgil/base/error.h"
#include "virgil/model/memory_plan.h"

namespace virgil {
namespace {

using test_support::RandomModel;

constexpr std::int64_t kAlignment = 64;

/// Of training, or of evaluation where the step is without.
ArenaLayout layout_of(const Architecture& config, const StepShape& step) {
  return MemoryPlan(config, {.step = step}, test_support::FakeTraits{}).activations();
}

bool overlap(const ActivationSpec& a, const ActivationSpec& b) {
  return a.offset_bytes < b.offset_bytes + b.size_bytes && b.offset_bytes < a.offset_bytes + a.size_bytes;
}

/// Bytes of all tensors alive during the busiest op: no arena can be smaller.
std::int64_t live_peak(const ArenaLayout& layout) {
  std::int64_t peak = 0;
  for (const ActivationSpec& moment : layout.activations()) {
    std::int64_t live = 0;
    for (const ActivationSpec& spec : layout.activations()) {
      if (spec.life.first <= moment.life.first && moment.life.first <= spec.life.last) live += spec.size_bytes;
    }
    peak = std::max(peak, live);
  }
  return peak;
}

TEST(Recompute, NamesRoundTrip) {
  for (const Recompute recompute : kAllRecompute) EXPECT_EQ(parse_recompute(name_of(recompute)), recompute);
  EXPECT_EQ(name_of(Recompute::kBlock), "block");
  EXPECT_THROW((void)parse_recompute("all"), UserError);
}

class RandomLayouts : public testing::TestWithParam<int> {};

TEST_P(RandomLayouts, TensorsThatLiveTogetherNeverOverlap) {
  for (int i = 0; i < 25; ++i) {
    const RandomModel model(static_cast<std::uint64_t>(GetParam() * 1000 + i));
    const ArenaLayout layout = layout_of(trainable(model.sizes), model.step);
    const auto specs = layout.activations();
    for (std::size_t a = 0; a < specs.size(); ++a) {
      EXPECT_EQ(specs[a].offset_bytes % kAlignment, 0) << specs[a].name;
      EXPECT_EQ(specs[a].size_bytes % kAlignment, 0) << specs[a].name;
      EXPECT_GE(specs[a].size_bytes, specs[a].shape.num_elements() * size_of(specs[a].dtype)) << specs[a].name;
      EXPECT_LE(specs[a].offset_bytes + specs[a].size_bytes, layout.arena_bytes()) << specs[a].name;
      EXPECT_LE(specs[a].life.first, specs[a].life.last) << specs[a].name;
      for (std::size_t b = a + 1; b < specs.size(); ++b) {
        ASSERT_FALSE(specs[a].life.meets(specs[b].life) && overlap(specs[a], specs[b]))
            << specs[a].name << " and " << specs[b].name << ", seed " << GetParam() * 1000 + i;
      }
    }
    EXPECT_GE(layout.arena_bytes(), live_peak(layout));
    EXPECT_LE(layout.arena_bytes(), layout.unshared_bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLayouts, testing::Range(0, 8));

Architecture config_150m(float dropout) {
  return trainable(
      {.num_layers = 16, .num_heads = 12, .embedding_dim = 768, .block_size = 1024, .vocab_size = 50304, .dropout = dropout});
}

std::int64_t arena_bytes(float dropout, Recompute recompute) {
  const StepShape step{.batch_size = 4, .length = 1024, .recompute = recompute};
  return layout_of(config_150m(dropout), step).arena_bytes();
}

TEST(ArenaLayout, EachRecomputeLevelNeedsLess) {
  for (const float dropout : {0.0F, 0.1F}) {
    for (std::size_t level = 1; level < kAllRecompute.size(); ++level) {
      EXPECT_LT(arena_bytes(dropout, kAllRecompute[level]), arena_bytes(dropout, kAllRecompute[level - 1])) << level;
    }
  }
}

TEST(ArenaLayout, RecomputingSavesWhatItNames) {
  // Per layer the backward pass keeps residual, ln_1, qkv (3), attention, residual_mid, ln_2 (8 C wide), hidden and GELU (4 C
  // each): 16 of these widths in B * T rows; each level drops what it recomputes, in all layers but the one in work.
  const std::int64_t width = 4 * 1024 * 768 * 4;
  const auto saved = [&](Recompute level) { return arena_bytes(0, Recompute::kNone) - arena_bytes(0, level); };
  EXPECT_GE(saved(Recompute::kGelu), 15 * 4 * width);
  EXPECT_GE(saved(Recompute::kNorm), 15 * (4 + 2) * width);
  EXPECT_GE(saved(Recompute::kBlock), 15 * 15 * width - 16 * width);
}

TEST(ArenaLayout, SharesAlmostAllThatCanBeShared) {
  // Placing largest first is a heuristic; on the models people train it must stay within 2% of the least possible.
  for (const Recompute recompute : kAllRecompute) {
    const StepShape step{.batch_size = 4, .length = 1024, .recompute = recompute};
    const ArenaLayout layout = layout_of(config_150m(0.1F), step);
    EXPECT_LE(static_cast<double>(layout.arena_bytes()), 1.02 * static_cast<double>(live_peak(layout))) << name_of(recompute);
  }
}

TEST(ArenaLayout, GrowsLinearlyWithTheContext) {
  const auto bytes = [](std::int64_t length) {
    return layout_of(config_150m(0), {.batch_size = 1, .length = length}).arena_bytes();
  };
  EXPECT_EQ(bytes(1024), 2 * bytes(512));
  EXPECT_EQ(bytes(1024), 4 * bytes(256));
}

TEST(ArenaLayout, EvaluationKeepsNoLayerAlive) {
  const StepShape training{.batch_size = 4, .length = 1024};
  const StepShape evaluation{.batch_size = 4, .length = 1024, .training = false};
  // A forward pass holds at most qkv, GELU's input and output and a few rows at one time, whatever the number of layers.
  const std::int64_t width = 4 * 1024 * 768 * 4;
  const ArenaLayout layout = layout_of(config_150m(0), evaluation);
  EXPECT_LE(layout.arena_bytes(), 12 * width);
  EXPECT_GT(layout_of(config_150m(0), training).arena_bytes(), 16 * 14 * width);
}

TEST(ArenaLayout, HalvesWith16BitActivations) {
  const StepShape full{.batch_size = 4, .length = 1024};
  const StepShape half{.batch_size = 4, .length = 1024, .dtype = DType::kBFloat16};
  const ArenaLayout wide = layout_of(config_150m(0), full);
  const ArenaLayout narrow = layout_of(config_150m(0), half);
  EXPECT_LT(static_cast<double>(narrow.arena_bytes()), 0.51 * static_cast<double>(wide.arena_bytes()));
  const auto type_of = [&](const std::string& name) {
    return std::ranges::find(narrow.activations(), name, &ActivationSpec::name)->dtype;
  };
  EXPECT_EQ(type_of("transformer.h.0.attn.c_attn"), DType::kBFloat16);
  EXPECT_EQ(type_of("transformer.h.0.attn.lse"), DType::kFloat32);
  EXPECT_EQ(type_of("transformer.h.0.ln_1.mean"), DType::kFloat32);
}

TEST(ArenaLayout, TellsStoredFromRecomputedTensors) {
  const auto stored = [](const std::string& name, Recompute recompute) {
    const ArenaLayout layout = layout_of(config_150m(0), {.batch_size = 1, .length = 8, .recompute = recompute});
    const std::string again = "transformer.h.3." + name + " (recomputed)";
    return std::ranges::find(layout.activations(), again, &ActivationSpec::name) == layout.activations().end();
  };
  EXPECT_TRUE(stored("mlp.act", Recompute::kNone));
  EXPECT_FALSE(stored("mlp.act", Recompute::kGelu));
  EXPECT_TRUE(stored("ln_2", Recompute::kGelu));
  EXPECT_FALSE(stored("ln_2", Recompute::kNorm));
  EXPECT_TRUE(stored("attn.c_attn", Recompute::kNorm));
  EXPECT_FALSE(stored("attn.c_attn", Recompute::kBlock));
  EXPECT_TRUE(stored("mlp + residual", Recompute::kBlock));
}

TEST(ArenaLayout, PlacesSideBySideOnRequest) {
  const StepShape step{.batch_size = 2, .length = 64, .share_arena = false};
  const ArenaLayout layout = layout_of(config_150m(0.1F), step);
  EXPECT_EQ(layout.arena_bytes(), layout.unshared_bytes());
  const auto specs = layout.activations();
  for (std::size_t i = 0; i + 1 < specs.size(); ++i) {
    EXPECT_EQ(specs[i].offset_bytes + specs[i].size_bytes, specs[i + 1].offset_bytes);
  }
}

TEST(ArenaLayout, RefusesATensorThatIsNoActivation) {
  const MemoryPlan plan(config_150m(0), {.step = StepShape{.batch_size = 1, .length = 8}}, test_support::FakeTraits{});
  const PlacedTape placed = plan.training();
  const auto number_of = [&](const std::string& name) {
    const auto tensors = placed.tape.tensors();
    return static_cast<std::int32_t>(std::ranges::find(tensors, name, &TapeTensor::name) - tensors.begin());
  };
  EXPECT_NO_THROW((void)plan.activations().offset_of(number_of("transformer.h.0.attn")));
  EXPECT_THROW((void)plan.activations().offset_of(number_of("transformer.wte.weight")), InternalError);
}

TEST(ArenaLayout, RefusesAShapeThatOverflows) {
  const StepShape step{.batch_size = std::int64_t{1} << 40, .length = 1024};
  EXPECT_THROW(layout_of(config_150m(0), step), UserError);
}

}  // namespace
}  // namespace virgil
