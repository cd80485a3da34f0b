// What is shared, recomputed or run twice must change no bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/llama_model.h"
#include "support/test_model.h"

namespace virgil {
namespace {

using test_support::expect_same_bits;
using test_support::TestBatch;
using test_support::TestModel;

struct ArenaVariant {
  const char* name;
  float dropout;
  bool bias;
  bool tied;
  DType dtype = DType::kFloat32;
  MlpKind mlp = MlpKind::kGelu;
  std::int64_t conv_taps = 0;
  bool is_llama = false;
};

Architecture sizes_of(const ArenaVariant& variant) {
  const Architecture sizes{.family = variant.conv_taps == 0 ? &kGpt2Family : &kVirgilFamily,
                           .num_layers = 3,
                           .num_heads = 2,
                           .embedding_dim = 48,
                           .block_size = 40,
                           .vocab_size = 100,
                           .mlp = variant.mlp,
                           .conv_taps = variant.conv_taps,
                           .biases = Biases::everywhere(variant.bias),
                           .tie_weights = variant.tied,
                           .dropout = variant.dropout};
  return variant.is_llama ? test_support::as_llama(sizes) : sizes;
}

struct ArenaResult {
  double loss;
  std::vector<float> gradients;
};

/// Two steps, so that the second meets what the first left in the arena.
ArenaResult run(TestModel& model) {
  constexpr PassRandomness kRandomness{.seed = 11, .step = 5, .first_sequence = 8};
  const TestBatch batch = model.random_batch();
  (void)model.compute_gradients(model.random_batch(99), kRandomness);
  const double loss = model.compute_gradients(batch, kRandomness);
  return {loss, model.gradients()};
}

class GptArena : public testing::TestWithParam<ArenaVariant> {
 protected:
  [[nodiscard]] static ArenaResult run_with(Recompute recompute, bool share_arena) {
    TestModel model(
        sizes_of(GetParam()),
        {.batch_size = 3, .length = 37, .dtype = GetParam().dtype, .recompute = recompute, .share_arena = share_arena});
    return run(model);
  }
  ParameterLayout layout_{trainable(sizes_of(GetParam()))};
};

// Also holds the lives that ArenaLayout finds and what Gpt runs together: a tensor that Gpt reads after its last use in the
// schedule is overwritten in the shared arena and not in the other; one it reads before its first is NaN in both.
TEST_P(GptArena, SharingBytesChangesNoBit) {
  for (const Recompute recompute : kAllRecompute) {
    SCOPED_TRACE(name_of(recompute));
    const ArenaResult apart = run_with(recompute, false);
    const ArenaResult shared = run_with(recompute, true);
    EXPECT_TRUE(std::isfinite(apart.loss));
    EXPECT_EQ(apart.loss, shared.loss);
    expect_same_bits(layout_, apart.gradients, shared.gradients);
  }
}

TEST_P(GptArena, RecomputingChangesNoBit) {
  const ArenaResult stored = run_with(Recompute::kNone, true);
  for (const Recompute recompute : {Recompute::kGelu, Recompute::kNorm, Recompute::kBlock}) {
    SCOPED_TRACE(name_of(recompute));
    const ArenaResult recomputed = run_with(recompute, true);
    EXPECT_EQ(stored.loss, recomputed.loss);
    expect_same_bits(layout_, stored.gradients, recomputed.gradients);
  }
}

TEST_P(GptArena, RunningAgainChangesNoBit) {
  const ArenaResult first = run_with(Recompute::kNone, true);
  const ArenaResult second = run_with(Recompute::kNone, true);
  EXPECT_EQ(first.loss, second.loss);
  expect_same_bits(layout_, first.gradients, second.gradients);
}

INSTANTIATE_TEST_SUITE_P(Variants, GptArena,
                         testing::Values(ArenaVariant{"plain", 0.0F, false, true}, ArenaVariant{"dropout", 0.3F, false, true},
                                         ArenaVariant{"bias", 0.0F, true, true}, ArenaVariant{"untied", 0.0F, false, false},
                                         ArenaVariant{"everything", 0.3F, true, false},
                                         ArenaVariant{"bfloat16", 0.0F, false, true, DType::kBFloat16},
                                         ArenaVariant{"relu2", 0.3F, true, true, DType::kFloat32, MlpKind::kReluSquared},
                                         ArenaVariant{"conv", 0.3F, true, true, DType::kFloat32, MlpKind::kGelu, 2},
                                         ArenaVariant{"bfloat16_everything", 0.3F, true, false, DType::kBFloat16},
                                         ArenaVariant{
                                             .name = "llama", .dropout = 0.3F, .bias = false, .tied = false, .is_llama = true},
                                         ArenaVariant{.name = "llama_bfloat16",
                                                      .dropout = 0.0F,
                                                      .bias = false,
                                                      .tied = true,
                                                      .dtype = DType::kBFloat16,
                                                      .is_llama = true}),
                         [](const auto& info) { return std::string(info.param.name); });

class GptThreads : public testing::TestWithParam<int> {};

TEST_P(GptThreads, TwoRunsGiveTheSameBits) {
  const ArenaVariant variant{"everything", 0.3F, true, false};
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const StepShape step{.batch_size = 3, .length = 37, .dtype = dtype};
    TestModel one(sizes_of(variant), step, GetParam());
    TestModel two(sizes_of(variant), step, GetParam());
    const ArenaResult first = run(one);
    const ArenaResult second = run(two);
    EXPECT_EQ(first.loss, second.loss);
    expect_same_bits(one.plan().parameters(), first.gradients, second.gradients);
  }
}

// Virgil's own ops give the same bits for any number of threads (tests/backend_conformance); oneDNN's matrix products may split
// their sums differently, so a whole step agrees within rounding only.
TEST_P(GptThreads, OneThreadAndManyAgreeWithinRounding) {
  const ArenaVariant variant{"everything", 0.3F, true, false};
  const StepShape step{.batch_size = 3, .length = 37};
  TestModel one(sizes_of(variant), step, 1);
  TestModel many(sizes_of(variant), step, GetParam());
  const ArenaResult expected = run(one);
  const ArenaResult actual = run(many);
  const Architecture& config = one.config();
  EXPECT_NEAR(actual.loss, expected.loss,
              test_support::probable_gamma(test_support::forward_path_length(config, step.length)) * expected.loss);
  const double gamma = test_support::probable_gamma(test_support::backward_path_length(config, step.batch_size, step.length));
  for (const ParameterSpec& spec : one.plan().parameters().parameters()) {
    const double bound = gamma * test_support::largest(expected.gradients, spec);
    for (std::int64_t i = spec.offset; i < spec.offset + spec.num_elements(); ++i) {
      const auto element = static_cast<std::size_t>(i);
      ASSERT_NEAR(actual.gradients[element], expected.gradients[element], bound) << spec.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, GptThreads, testing::Values(1, 2, 4));

}  // namespace
}  // namespace virgil
