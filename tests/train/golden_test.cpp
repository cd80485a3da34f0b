// A whole model against PyTorch and transformers in float64: tests/golden, made by tests/reference/make_golden.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/repository.h"
#include "support/test_model.h"
#include "virgil/format/hf_config.h"
#include "virgil/format/parameter_io.h"
#include "virgil/format/safetensors.h"
#include "virgil/optim/optimizer.h"

namespace virgil {
namespace {

using test_support::kUnitRoundoff;
using test_support::probable_gamma;
using test_support::TestBatch;
using test_support::TestModel;

class Golden : public testing::TestWithParam<const char*> {
 protected:
  Golden()
      : file_(test_support::repository_path("tests/golden/") + GetParam() + ".safetensors"),
        case_(nlohmann::json::parse(file_.metadata().at("case"))),
        model_(sizes(), {.batch_size = case_.at("batch_size"), .length = case_.at("length")}) {
    load_parameters(model_.backend(), layout(), file_, "weights.", model_.gpt().master_weights(), DType::kFloat32);
  }

  [[nodiscard]] Architecture sizes() const {
    // Of another family than GPT-2: its config.json.
    if (case_.contains("config")) return read_weights_config(case_.at("config").dump(), GetParam());
    return {.num_layers = case_.at("n_layer"),
            .num_heads = case_.at("n_head"),
            .embedding_dim = case_.at("n_embd"),
            .block_size = case_.at("block_size"),
            .vocab_size = case_.at("vocab_size"),
            .mlp = parse_mlp(case_.value("activation", "gelu_new") == "relu2" ? "relu2" : "gelu"),
            .biases = Biases::everywhere(case_.at("bias"))};
  }
  [[nodiscard]] const ParameterLayout& layout() const { return model_.plan().parameters(); }

  template <typename T>
  [[nodiscard]] std::vector<T> read(const std::string& name) const {
    const SafetensorsFile::Entry* entry = file_.find(name);
    if (entry == nullptr) throw InternalError("no tensor " + name);
    std::vector<T> values(entry->bytes.size() / sizeof(T));
    std::memcpy(values.data(), entry->bytes.data(), entry->bytes.size());
    return values;
  }

  [[nodiscard]] TestBatch batch(std::int64_t step) const {
    const TestBatch all{read<std::int32_t>("inputs"), read<std::int32_t>("targets")};
    const StepShape& shape = model_.plan().step();
    return all.sequences(step * shape.batch_size, shape.batch_size, shape.length);
  }

  /// Rounding errors relative to the largest element of a tensor, on the way to the loss and to a gradient. The reference adds
  /// half a unit in the last place of its own.
  [[nodiscard]] double forward_gamma() const {
    return probable_gamma(test_support::forward_path_length(model_.config(), model_.plan().step().length)) + kUnitRoundoff;
  }
  [[nodiscard]] double backward_gamma() const {
    const StepShape& shape = model_.plan().step();
    return probable_gamma(test_support::backward_path_length(model_.config(), shape.batch_size, shape.length)) + kUnitRoundoff;
  }

  SafetensorsFile file_;
  nlohmann::json case_;
  TestModel model_;
};

double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  return largest;
}

TEST_P(Golden, LogitsMatch) {
  const auto expected = read<float>("logits");
  std::vector<float> actual(expected.size());
  const TestBatch first = batch(0);
  model_.gpt().load_batch(first.inputs, first.targets);
  (void)model_.gpt().evaluate_with_logits(actual);
  const double bound = forward_gamma() * largest_of(expected);
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], bound) << "logit " << i;
}

TEST_P(Golden, LossMatches) {
  const double expected = read<double>("losses")[0];
  EXPECT_NEAR(model_.evaluate(batch(0)), expected, forward_gamma() * expected);
}

TEST_P(Golden, EveryGradientMatches) {
  (void)model_.compute_gradients(batch(0));
  const std::vector<float> gradients = model_.gradients();
  for (const ParameterSpec& spec : layout().parameters()) {
    const auto expected = read<float>("gradients." + spec.name);
    ASSERT_EQ(static_cast<std::int64_t>(expected.size()), spec.stored_shape.num_elements()) << spec.name;
    const double bound = backward_gamma() * largest_of(expected);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(gradients[static_cast<std::size_t>(spec.offset) + i], expected[i], bound) << spec.name << "[" << i << "]";
    }
  }
}

/// Bounds how far ten updates may drift from the reference, element by element.
///
/// An update moves a weight by lr * m^ / (sqrt(v^) + eps). When every gradient so far is off by at most d, then m^ is off by d,
/// and sqrt(v^), a norm of the gradients, by d too; since |m^| <= r sqrt(v^), the ratio is off by (1 + r) d / (sqrt(v^) + eps).
/// r is at most (1 - beta1) / sqrt((1 - beta2)(1 - beta1^2 / beta2)), by Cauchy and Schwarz, and corrections for bias only
/// lower it: 1.17 for the betas of the file. Where the gradient is nothing but rounding (attention's key biases, on which no
/// loss depends) the ratio itself is all there is: it is off by at most 2 r.
class DriftBound {
 public:
  DriftBound(const ParameterLayout& layout, double learning_rate, double eps)
      : layout_(layout),
        learning_rate_(learning_rate),
        eps_(eps),
        bounds_(static_cast<std::size_t>(layout.flat_elements())),
        gradient_scale_(layout.parameters().size()) {}

  /// Adds update `t`: `gradients` before clipping by `clip`, `v` after the update.
  void add(const std::vector<float>& gradients, const std::vector<float>& v, double clip, double gamma, double v_correction) {
    constexpr double kRatio = 1.17;
    const auto parameters = layout_.parameters();
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const ParameterSpec& spec = parameters[p];
      gradient_scale_[p] = std::max(gradient_scale_[p], clip * test_support::largest(gradients, spec));
      const double d = gamma * gradient_scale_[p];
      for (std::int64_t i = spec.offset; i < spec.offset + spec.num_elements(); ++i) {
        const auto element = static_cast<std::size_t>(i);
        const double root = std::sqrt(static_cast<double>(v[element]) / v_correction);
        bounds_[element] += learning_rate_ * std::min(2 * kRatio, (1 + kRatio) * d / (root + eps_));
      }
    }
  }
  /// Ten updates and ten decays each round once.
  [[nodiscard]] double at(std::size_t element, double weight) const {
    return bounds_[element] + 20 * kUnitRoundoff * std::fabs(weight);
  }

 private:
  const ParameterLayout& layout_;
  double learning_rate_;
  double eps_;
  std::vector<double> bounds_;
  std::vector<double> gradient_scale_;  // largest clipped gradient of each parameter so far
};

TEST_P(Golden, TenUpdatesMatch) {
  const double learning_rate = case_.at("learning_rate");
  const OptimizerOptions options{.weight_decay = case_.at("weight_decay"),
                                 .max_norm = case_.at("max_norm"),
                                 .adamw = {.beta1 = case_.at("beta1"), .beta2 = case_.at("beta2"), .eps = case_.at("eps")}};
  Optimizer optimizer(model_.backend(), model_.plan(), model_.memory(), options);
  optimizer.reset();
  const auto losses = read<double>("losses");
  const auto norms = read<double>("gradient_norms");
  DriftBound drift(layout(), learning_rate, options.adamw.eps);
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const auto t = static_cast<std::int64_t>(step) + 1;
    EXPECT_NEAR(model_.compute_gradients(batch(t - 1)), losses[step], forward_gamma() * losses[step]) << "step " << step;
    const std::vector<float> gradients = model_.gradients();
    EXPECT_NEAR(optimizer.step(t, learning_rate), norms[step], backward_gamma() * norms[step]) << "step " << step;
    const double clip = std::min(1.0, options.max_norm / norms[step]);
    drift.add(gradients, model_.read(optimizer.states()[1].view()), clip, backward_gamma(),
              1 - std::pow(options.adamw.beta2, static_cast<double>(t)));
  }
  const std::vector<float> weights = model_.weights();
  for (const ParameterSpec& spec : layout().parameters()) {
    const auto expected = read<float>("updated." + spec.name);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::size_t element = static_cast<std::size_t>(spec.offset) + i;
      ASSERT_NEAR(weights[element], expected[i], drift.at(element, expected[i])) << spec.name << "[" << i << "]";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::Values("bias", "no_bias", "relu2", "llama", "mistral", "qwen2", "yarn_geglu"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace virgil
