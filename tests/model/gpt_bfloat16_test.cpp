// A whole model in bfloat16 against the same weights in float32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/test_model.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

constexpr double kRoundoff = 0x1.0p-8;  // u of bfloat16

struct BFloat16Variant {
  const char* name;
  float dropout;
  bool bias;
  std::int64_t head_size;
};

class GptBFloat16 : public testing::TestWithParam<BFloat16Variant> {
 protected:
  static Architecture sizes() {
    return {.num_layers = 3,
            .num_heads = 2,
            .embedding_dim = 2 * GetParam().head_size,
            .block_size = 80,
            .vocab_size = 101,
            .biases = Biases::everywhere(GetParam().bias),
            .dropout = GetParam().dropout};
  }
  static StepShape step(DType dtype) { return {.batch_size = 3, .length = 77, .dtype = dtype}; }

  GptBFloat16() : exact_(sizes(), step(DType::kFloat32)), rounded_(sizes(), step(DType::kBFloat16)) {
    // Weights that bfloat16 holds, so that the two compute the same function; larger than at the start of training, where
    // gradients of most matrices are next to nothing.
    std::vector<float> weights = exact_.weights();
    for (float& weight : weights) weight = static_cast<float>(BFloat16(weight == 1.0F ? weight : 4 * weight));
    exact_.set_weights(weights);
    rounded_.set_weights(weights);
  }

  TestModel exact_, rounded_;
};

/// Tensors that are rounded to bfloat16 on the way from the weights to a loss: per layer the outputs of two norms, four matrix
/// products, attention, GELU and two additions to the residual stream, and attention's probabilities; then the final norm and
/// the logits. The way back rounds as many gradients.
double num_roundings(const Architecture& config) { return 2 * (11.0 * static_cast<double>(config.num_layers) + 3); }

TEST_P(GptBFloat16, GradientsMatchFloat32) {
  const TestBatch batch = exact_.random_batch();
  const PassRandomness randomness{.seed = 5, .step = 2, .first_sequence = 0};
  const double exact_loss = exact_.compute_gradients(batch, randomness);
  const double rounded_loss = rounded_.compute_gradients(batch, randomness);
  // Each rounding changes a tensor's elements by up to u of themselves, in both directions alike and independently. As parts of
  // the norm of a gradient these add up as squares: sqrt(n) u, where the root mean square of a rounding, u / sqrt(3) at most,
  // leaves a factor of 1.7 for passes that amplify.
  const double bound = std::sqrt(num_roundings(exact_.config())) * kRoundoff;
  // The mean loss averages over tokens, too.
  EXPECT_NEAR(rounded_loss, exact_loss, bound * exact_loss / std::sqrt(static_cast<double>(batch.size())));
  const std::vector<float> exact = exact_.gradients(), rounded = rounded_.gradients();
  for (const ParameterSpec& spec : exact_.plan().parameters().parameters()) {
    double squares = 0, difference = 0;
    for (std::int64_t i = spec.offset; i < spec.offset + spec.num_elements(); ++i) {
      const auto element = static_cast<std::size_t>(i);
      const double expected = static_cast<double>(exact[element]), actual = static_cast<double>(rounded[element]);
      squares += expected * expected;
      difference += (actual - expected) * (actual - expected);
    }
    EXPECT_LE(std::sqrt(difference), bound * std::sqrt(squares)) << spec.name;
    EXPECT_GT(squares, 0) << spec.name;
  }
}

TEST_P(GptBFloat16, LogitsMatchFloat32) {
  const TestBatch batch = exact_.random_batch();
  std::vector<float> exact(static_cast<std::size_t>(batch.size() * exact_.config().vocab_size));
  std::vector<float> rounded(exact.size());
  for (auto [model, logits] : {std::pair(&exact_, &exact), std::pair(&rounded_, &rounded)}) {
    model->gpt().load_batch(batch.inputs, batch.targets);
    (void)model->gpt().evaluate_with_logits(*logits);
  }
  double squares = 0, difference = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double expected = static_cast<double>(exact[i]);
    squares += expected * expected;
    difference += std::pow(static_cast<double>(rounded[i]) - expected, 2);
  }
  const double bound = std::sqrt(num_roundings(exact_.config()) / 2) * kRoundoff;
  EXPECT_LE(std::sqrt(difference), bound * std::sqrt(squares));
}

INSTANTIATE_TEST_SUITE_P(Variants, GptBFloat16,
                         testing::Values(BFloat16Variant{"plain", 0.0F, false, 64}, BFloat16Variant{"dropout", 0.2F, false, 32},
                                         BFloat16Variant{"bias", 0.0F, true, 24}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace virgil
