// A step may be cut into micro-batches: the sum is the same step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/test_model.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

constexpr PassRandomness kRandomness{.seed = 3, .step = 2, .first_sequence = 0};

struct AccumulationCase {
  const char* name;
  std::int64_t batch_size;
  std::int64_t length;
  std::int64_t vocab_size;
  std::int64_t embedding_dim;
  float dropout;

  [[nodiscard]] Architecture sizes() const {
    return {.num_layers = 2,
            .num_heads = 2,
            .embedding_dim = embedding_dim,
            .block_size = length,
            .vocab_size = vocab_size,
            .biases = kAllBiases,
            .dropout = dropout};
  }
};

constexpr AccumulationCase kPlain{"plain", 4, 24, 65, 32, 0.0F};
constexpr AccumulationCase kDropout{"dropout", 4, 24, 65, 32, 0.2F};
// Rows of 256 KiB make chunks of 256 rows of logits: 303 rows take two, of 152 and 151, which split the second sequence.
constexpr AccumulationCase kChunked{"chunked_classifier", 3, 101, 65500, 16, 0.1F};

struct AccumulatedStep {
  double loss_sum = 0;
  std::vector<float> gradients;
};

/// Gradients of the mean loss over the whole batch, from micro-batches of `micro_batch_size` sequences.
AccumulatedStep accumulate(const AccumulationCase& c, std::int64_t micro_batch_size, bool number_sequences = true) {
  TestModel model(c.sizes(), {.batch_size = micro_batch_size, .length = c.length});
  const TestBatch whole = TestBatch::random(model.config(), c.batch_size, c.length, 7);
  const float grad_scale = 1.0F / static_cast<float>(c.batch_size * c.length);
  AccumulatedStep result;
  model.gpt().zero_gradients();
  for (std::int64_t first = 0; first < c.batch_size; first += micro_batch_size) {
    const TestBatch part = whole.sequences(first, micro_batch_size, c.length);
    PassRandomness randomness = kRandomness;
    if (number_sequences) randomness.first_sequence = first;
    model.gpt().load_batch(part.inputs, part.targets);
    result.loss_sum += model.gpt().accumulate_gradients(grad_scale, randomness);
  }
  result.gradients = model.gradients();
  return result;
}

/// Largest difference of any gradient, in units of its bound: two sums over the same path, each rounded in its own order.
double worst_difference(const AccumulationCase& c, const AccumulatedStep& a, const AccumulatedStep& b) {
  const Architecture config = trainable(c.sizes());
  const double gamma = test_support::probable_gamma(test_support::backward_path_length(config, c.batch_size, c.length));
  double worst = 0;
  const ParameterLayout layout(config);
  for (const ParameterSpec& spec : layout.parameters()) {
    const double bound = 2 * gamma * test_support::largest(a.gradients, spec);
    for (std::int64_t i = spec.offset; i < spec.offset + spec.num_elements(); ++i) {
      const auto element = static_cast<std::size_t>(i);
      const double difference =
          std::fabs(static_cast<double>(a.gradients[element]) - static_cast<double>(b.gradients[element]));
      worst = std::max(worst, difference / bound);
    }
  }
  return worst;
}

class GptAccumulation : public testing::TestWithParam<AccumulationCase> {};

TEST_P(GptAccumulation, MicroBatchesAddUpToTheBatch) {
  const AccumulationCase& c = GetParam();
  const AccumulatedStep whole = accumulate(c, c.batch_size);
  const double gamma = test_support::probable_gamma(test_support::forward_path_length(trainable(c.sizes()), c.length));
  for (std::int64_t micro_batch_size = 1; micro_batch_size < c.batch_size; ++micro_batch_size) {
    if (c.batch_size % micro_batch_size != 0) continue;
    const AccumulatedStep parts = accumulate(c, micro_batch_size);
    EXPECT_NEAR(parts.loss_sum, whole.loss_sum, 2 * gamma * whole.loss_sum);
    EXPECT_LE(worst_difference(c, whole, parts), 1.0) << "micro-batches of " << micro_batch_size;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GptAccumulation, testing::Values(kPlain, kDropout, kChunked),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(GptAccumulation, MasksFollowTheNumberOfTheSequence) {
  // The same sequences under other masks: far outside the bound, or the bound would prove nothing.
  const AccumulatedStep numbered = accumulate(kDropout, 2);
  const AccumulatedStep not_numbered = accumulate(kDropout, 2, /*number_sequences=*/false);
  EXPECT_GT(worst_difference(kDropout, numbered, not_numbered), 100.0);
}

TEST(GptAccumulation, ChunksOfTheClassifierSplitASequence) {
  const Architecture config = trainable(kChunked.sizes());
  const auto backend = make_cpu_backend({.num_threads = 1});
  const MemoryPlan plan(config, {.step = StepShape{.batch_size = kChunked.batch_size, .length = kChunked.length}},
                        backend->traits());
  EXPECT_EQ(plan.logits_rows(), 152);
}

}  // namespace
}  // namespace virgil
