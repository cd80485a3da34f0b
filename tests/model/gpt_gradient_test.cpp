// Gradients of the whole model against central differences of its loss.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/llama_model.h"
#include "support/test_model.h"

namespace virgil {
namespace {

using test_support::TestBatch;
using test_support::TestModel;

struct GradientVariant {
  const char* name;
  float dropout;
  bool bias;
  bool tied;
  std::int64_t num_layers = 2;
  std::int64_t embedding_dim = 32;
  StepShape step{.batch_size = 2, .length = 13};
  MlpKind mlp = MlpKind::kGelu;
  std::int64_t conv_taps = 0;
  bool is_llama = false;
};

constexpr PassRandomness kRandomness{.seed = 5, .step = 1, .first_sequence = 0};

class GptGradient : public testing::TestWithParam<GradientVariant> {
 protected:
  GptGradient()
      : model_(sizes_of({.family = GetParam().conv_taps == 0 ? &kGpt2Family : &kVirgilFamily,
                         .num_layers = GetParam().num_layers,
                         .num_heads = 2,
                         .embedding_dim = GetParam().embedding_dim,
                         .block_size = 16,
                         .vocab_size = 65,
                         .mlp = GetParam().mlp,
                         .conv_taps = GetParam().conv_taps,
                         .biases = Biases::everywhere(GetParam().bias),
                         .tie_weights = GetParam().tied,
                         .dropout = GetParam().dropout}),
               GetParam().step),
        batch_(model_.random_batch()) {
    // Weights larger than at the start of training, biases and norms off their neutral values: every term of the model matters.
    weights_ = model_.weights();
    for (const ParameterSpec& spec : layout().parameters()) {
      for (std::int64_t i = 0; i < spec.stored_shape.num_elements(); ++i) {
        float& weight = weights_[static_cast<std::size_t>(spec.offset + i)];
        weight = spec.shape.rank() == 2 ? matrix_scale() * weight : weight + 0.2F * normal(spec.offset + i);
      }
    }
    model_.set_weights(weights_);
    loss_ = model_.compute_gradients(batch_, kRandomness);
    gradients_ = model_.gradients();
  }

  [[nodiscard]] const ParameterLayout& layout() const { return model_.plan().parameters(); }
  /// The weights' deviation becomes 8 * 0.02 at a width of 32, and keeps the size of activations at any other.
  [[nodiscard]] float matrix_scale() const { return 8 * std::sqrt(32.0F / static_cast<float>(GetParam().embedding_dim)); }
  [[nodiscard]] float normal(std::int64_t index) const {
    return random_normal({17, RandomPurpose::kInit, 0, 0}, static_cast<std::uint64_t>(index));
  }

  /// With the masks of kRandomness. Without dropout evaluate() gives the same bits sooner.
  double loss_at(const std::vector<float>& weights) {
    model_.set_weights(weights);
    return GetParam().dropout > 0 ? model_.compute_gradients(batch_, kRandomness) : model_.evaluate(batch_);
  }

  /// L(w + h d) - L(w - h d), less what the gradient predicts for the weights as float32 rounds them.
  double residual(const std::vector<float>& direction, double h) {
    std::vector<float> plus = weights_;
    std::vector<float> minus = weights_;
    predicted_ = 0;
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      plus[i] = static_cast<float>(static_cast<double>(weights_[i]) + h * static_cast<double>(direction[i]));
      minus[i] = static_cast<float>(static_cast<double>(weights_[i]) - h * static_cast<double>(direction[i]));
      predicted_ += static_cast<double>(gradients_[i]) * (static_cast<double>(plus[i]) - static_cast<double>(minus[i]));
    }
    return loss_at(plus) - loss_at(minus) - predicted_;
  }

  /// The residual of a right gradient is c h^3 plus rounding, so it shrinks by eight when h is halved; a gradient that is wrong
  /// by e along the direction adds 2 e h, which only halves: then residual(h) - residual(2 h) / 8 keeps 3/4 of it. Rounding: a
  /// loss is off by at most probable_gamma(path) times itself; two at each of h and 2 h enter, the latter over eight. The
  /// gradient's own rounding enters the prediction. |residual(2 h)| / 8 bounds the fifth-order term, which is smaller still.
  void expect_derivative(const std::string& what, const std::vector<float>& direction) {
    constexpr double kChange = 0.04;  // of the loss: small enough for the third-order term, large beside its rounding
    double slope = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) slope += std::fabs(static_cast<double>(direction[i]) * gradients_[i]);
    ASSERT_GT(slope, 0.0) << what;
    const double h = std::min(kChange / slope, 0.02);
    const double coarse = residual(direction, 2 * h);
    const double fine = residual(direction, h);
    const Architecture& config = model_.config();
    const double loss_error =
        loss_ * test_support::probable_gamma(test_support::forward_path_length(config, GetParam().step.length));
    const double gradient_error = h * slope *
                                  test_support::probable_gamma(test_support::backward_path_length(
                                      config, GetParam().step.batch_size, GetParam().step.length));
    const double bound = std::fabs(coarse) / 8 + 2.25 * loss_error + 2 * gradient_error;
    EXPECT_LE(std::fabs(fine - coarse / 8), bound)
        << what << ": predicted " << predicted_ << ", residuals " << fine << " and " << coarse << ", h " << h;
    worst_relative_bound_ = std::max(worst_relative_bound_, bound / std::fabs(predicted_));
  }

  [[nodiscard]] static Architecture sizes_of(const Architecture& sizes) {
    return GetParam().is_llama ? test_support::as_llama(sizes) : sizes;
  }

  TestModel model_;
  TestBatch batch_;
  std::vector<float> weights_;
  std::vector<float> gradients_;
  double loss_ = 0;
  double predicted_ = 0;
  double worst_relative_bound_ = 0;
};

TEST_P(GptGradient, MatchesDifferencesOfEveryTensor) {
  for (const ParameterSpec& spec : layout().parameters()) {
    std::vector<float> direction(weights_.size(), 0.0F);
    for (std::int64_t i = spec.offset; i < spec.offset + spec.stored_shape.num_elements(); ++i) {
      const auto element = static_cast<std::size_t>(i);
      // Uphill in each element by a random amount, so that no two errors cancel.
      direction[element] = std::copysign(std::fabs(normal(i)), gradients_[element]);
    }
    expect_derivative(spec.name, direction);
  }
  // A bound of a quarter of the predicted change or more would prove nothing.
  EXPECT_LT(worst_relative_bound_, 0.25);
}

TEST_P(GptGradient, MatchesDifferencesAlongRandomDirections) {
  for (std::uint64_t trial = 0; trial < 4; ++trial) {
    std::vector<float> direction(weights_.size(), 0.0F);
    for (const ParameterSpec& spec : layout().parameters()) {
      for (std::int64_t i = spec.offset; i < spec.offset + spec.stored_shape.num_elements(); ++i) {
        direction[static_cast<std::size_t>(i)] =
            random_normal({100 + trial, RandomPurpose::kInit, 0, 0}, static_cast<std::uint64_t>(i));
      }
    }
    expect_derivative("direction " + std::to_string(trial), direction);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, GptGradient,
    testing::Values(GradientVariant{"plain", 0.0F, false, true}, GradientVariant{"dropout", 0.2F, true, true},
                    GradientVariant{"untied", 0.0F, true, false},
                    GradientVariant{.name = "relu2", .dropout = 0.0F, .bias = true, .tied = true, .mlp = MlpKind::kReluSquared},
                    GradientVariant{.name = "conv", .dropout = 0.2F, .bias = true, .tied = true, .conv_taps = 3},
                    GradientVariant{.name = "llama", .dropout = 0.2F, .bias = false, .tied = false, .is_llama = true},
                    // Matrices of 256 x 1024: from here on the CPU backend reorders operands of its products.
                    GradientVariant{"wide", 0.0F, true, true, 1, 256, {.batch_size = 2, .length = 16}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace virgil
