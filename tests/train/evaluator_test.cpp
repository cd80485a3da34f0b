#include "virgil/train/evaluator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "support/test_model.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;

std::vector<std::int32_t> counting(std::int64_t size) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(size));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

/// How often each token is a target, over all batches; checks that inputs stand before targets on the way.
std::vector<int> count_targets(std::int64_t num_tokens, const EvaluationOptions& options) {
  const std::vector<std::int32_t> tokens = counting(num_tokens);
  const Evaluator evaluator(tokens, num_tokens, options);
  std::vector<std::int32_t> inputs(static_cast<std::size_t>(options.batch_size * options.length)), targets(inputs.size());
  std::vector<int> counts(tokens.size());
  for (std::int64_t batch = 0; batch < evaluator.num_batches(); ++batch) {
    const std::int64_t filled = evaluator.fill(batch, inputs, targets);
    std::int64_t num_targets = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (targets[i] < 0) continue;
      EXPECT_EQ(targets[i], inputs[i] + 1);
      ++counts[static_cast<std::size_t>(targets[i])];
      ++num_targets;
    }
    EXPECT_EQ(filled, num_targets);
    EXPECT_GT(filled, 0) << "no batch is empty";
  }
  return counts;
}

TEST(Evaluator, PredictsEveryTokenButTheFirstOnce) {
  for (const std::int64_t num_tokens : {2, 3, 7, 8, 9, 17, 25, 32, 33, 34, 100}) {
    for (const std::int64_t batch_size : {1, 3}) {
      for (const std::int64_t stride : {1, 3, 7, 8}) {
        const std::vector<int> counts =
            count_targets(num_tokens, {.batch_size = batch_size, .length = 8, .stride = stride, .max_batches = 0});
        EXPECT_EQ(counts[0], 0);
        for (std::size_t token = 1; token < counts.size(); ++token) {
          EXPECT_EQ(counts[token], 1) << "token " << token << " of " << num_tokens << ", stride " << stride;
        }
      }
    }
  }
}

TEST(Evaluator, GivesEveryPredictionTheContextThatTheStrideLeaves) {
  const std::vector<std::int32_t> tokens = counting(50);
  const Evaluator evaluator(tokens, 50, {.batch_size = 1, .length = 8, .stride = 3, .max_batches = 0});
  std::vector<std::int32_t> inputs(8), targets(8);
  for (std::int64_t window = 1; window < evaluator.num_batches(); ++window) {
    (void)evaluator.fill(window, inputs, targets);
    EXPECT_EQ(inputs[0], 3 * window);
    for (std::size_t t = 0; t < 8 - 3; ++t) EXPECT_EQ(targets[t], -1);
  }
}

TEST(Evaluator, SpreadsTheBatchesItMayUseOverTheText) {
  const std::vector<std::int32_t> tokens = counting(8 * 100 + 1);
  EXPECT_EQ(Evaluator(tokens, 801, {.batch_size = 1, .length = 8, .stride = 8, .max_batches = 10}).num_batches(), 10);
  EXPECT_EQ(Evaluator(tokens, 801, {.batch_size = 1, .length = 8, .stride = 8, .max_batches = 500}).num_batches(), 100);
}

TEST(Evaluator, TakesTheSameSampleOfALargeTextWhateverTheBatch) {
  const std::vector<int> ones = count_targets(8 * 100 + 1, {.batch_size = 1, .length = 8, .stride = 8, .max_windows = 10});
  EXPECT_EQ(std::accumulate(ones.begin(), ones.end(), 0), 80);
  EXPECT_EQ(ones, count_targets(8 * 100 + 1, {.batch_size = 4, .length = 8, .stride = 8, .max_windows = 10}));
  // Spread over the text: ten of a hundred windows within one half of it come up once in a thousand times.
  const auto middle = ones.begin() + 400;
  EXPECT_GT(std::accumulate(ones.begin(), middle, 0), 0);
  EXPECT_GT(std::accumulate(middle, ones.end(), 0), 0);

  const Evaluator sampled(counting(801), 801, {.batch_size = 4, .length = 8, .stride = 8, .max_windows = 10});
  EXPECT_EQ(sampled.num_windows(), 10);
  EXPECT_EQ(sampled.total_windows(), 100);
  const Evaluator whole(counting(801), 801, {.batch_size = 4, .length = 8, .stride = 8, .max_windows = 100});
  EXPECT_EQ(whole.num_windows(), 100);
}

TEST(Evaluator, RefusesTextsAndStridesThatCannotBe) {
  const EvaluationOptions options{.batch_size = 1, .length = 8, .stride = 8, .max_batches = 0};
  EXPECT_THAT(user_error_of([&] { Evaluator(counting(1), 1, options); }), HasSubstr("has 1 token,"));
  EXPECT_THAT(user_error_of([&] { Evaluator(counting(0), 0, options); }), HasSubstr("has 0 tokens"));
  for (const std::int64_t stride : {-1, 0, 9}) {
    EvaluationOptions other = options;
    other.stride = stride;
    EXPECT_THAT(user_error_of([&] { Evaluator(counting(20), 20, other); }), HasSubstr("stride is"));
  }
}

TEST(Evaluator, DescribesALoss) {
  const Evaluator evaluator(counting(100), 250, {.batch_size = 1, .length = 8, .stride = 8, .max_batches = 0});
  const EvalMetrics metrics = evaluator.describe(7, 5 * std::numbers::ln2);
  EXPECT_EQ(metrics.step, 7);
  EXPECT_DOUBLE_EQ(metrics.perplexity, 32);
  EXPECT_DOUBLE_EQ(metrics.bits_per_byte, 2) << "5 bits a token of 2.5 bytes";
}

/// A model and a text shorter than two of its windows.
class Evaluation : public testing::Test {
 protected:
  static constexpr std::int64_t kLength = 8;
  static constexpr std::int64_t kTokens = 14;

  /// -log p of every token but the first, each from a pass over exactly the context [begin_of(i), i).
  template <typename BeginOf>
  double loss_by_hand(BeginOf&& begin_of) {
    double sum = 0;
    std::vector<float> logits(static_cast<std::size_t>(2 * kLength * model_.config().vocab_size));
    for (std::int64_t i = 1; i < kTokens; ++i) {
      const std::int64_t begin = begin_of(i);
      std::vector<std::int32_t> inputs(2 * kLength, 0);
      const std::vector<std::int32_t> ignored(2 * kLength, -1);
      std::copy(tokens_.begin() + begin, tokens_.begin() + i, inputs.begin());
      model_.gpt().load_batch(inputs, ignored);
      (void)model_.gpt().evaluate_with_logits(logits);
      const auto V = static_cast<std::size_t>(model_.config().vocab_size);
      const std::span<const float> row = std::span(logits).subspan(static_cast<std::size_t>(i - 1 - begin) * V, V);
      double total = 0;
      for (const float logit : row) total += std::exp(static_cast<double>(logit));
      sum += std::log(total) - static_cast<double>(row[static_cast<std::size_t>(tokens_[static_cast<std::size_t>(i)])]);
    }
    return sum / static_cast<double>(kTokens - 1);
  }

  /// The op's exponents, their sum and its logarithm, each good to a few u of numbers below 10, and the sum of 13 losses.
  static constexpr double kTolerance = 100 * test_support::kUnitRoundoff * 10;

  test_support::TestModel model_{{.num_layers = 2, .num_heads = 2, .embedding_dim = 32, .block_size = 8, .vocab_size = 50},
                                 {.batch_size = 2, .length = kLength, .training = false}};
  std::vector<std::int32_t> tokens_ = test_support::TestBatch::random(model_.config(), 1, kTokens, 5).inputs;
};

TEST_F(Evaluation, GivesTheLossOfWindowsSideBySide) {
  const Evaluator evaluator(tokens_, kTokens, {.batch_size = 2, .length = kLength, .stride = kLength, .max_batches = 0});
  const EvalMetrics metrics = evaluator.run(model_.gpt(), 3);
  EXPECT_EQ(metrics.num_tokens, kTokens - 1);
  EXPECT_EQ(metrics.step, 3);
  EXPECT_NEAR(metrics.loss, loss_by_hand([](std::int64_t i) { return (i - 1) / kLength * kLength; }), kTolerance);
}

TEST_F(Evaluation, GivesTheLossOfSlidingWindows) {
  const Evaluator evaluator(tokens_, kTokens, {.batch_size = 2, .length = kLength, .stride = 3, .max_batches = 0});
  const EvalMetrics metrics = evaluator.run(model_.gpt(), 0);
  EXPECT_EQ(metrics.num_tokens, kTokens - 1);
  // Token i is predicted by the first window that holds it: none before 8, then one every three tokens.
  const auto begin_of = [](std::int64_t i) { return i <= kLength ? 0 : ceil_div(i - kLength, 3) * 3; };
  EXPECT_NEAR(metrics.loss, loss_by_hand(begin_of), kTolerance);
}

}  // namespace
}  // namespace virgil
