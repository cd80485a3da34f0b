// A model with everything it needs to run a step on the CPU backend, for tests.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/base/philox.h"
#include "virgil/model/float_copy.h"
#include "virgil/model/gpt.h"
#include "virgil/model/initializer.h"
#include "virgil/model/memory_plan.h"

namespace virgil::test_support {

/// Inputs and next-token targets of a batch.
struct TestBatch {
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> targets;

  /// Uniform ids, a pure function of `seed`; sequence b is the same whatever the number of sequences.
  static TestBatch random(const Architecture& config, std::int64_t batch_size, std::int64_t length, std::uint64_t seed) {
    TestBatch batch;
    const RandomStream stream{seed, RandomPurpose::kBatch, 0, 0};
    const auto vocab_size = static_cast<std::uint64_t>(config.vocab_size);
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(batch_size * length); ++i) {
      batch.inputs.push_back(static_cast<std::int32_t>(random_below(stream, 2 * i, vocab_size)));
      batch.targets.push_back(static_cast<std::int32_t>(random_below(stream, 2 * i + 1, vocab_size)));
    }
    return batch;
  }

  /// Sequences [first, first + count).
  [[nodiscard]] TestBatch sequences(std::int64_t first, std::int64_t count, std::int64_t length) const {
    const auto cut = [&](const std::vector<std::int32_t>& ids) {
      return std::vector<std::int32_t>(ids.begin() + first * length, ids.begin() + (first + count) * length);
    };
    return {cut(inputs), cut(targets)};
  }

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(inputs.size()); }
};

/// Owns backend, plan, memory and model; weights are initialised from `seed`.
class TestModel {
 public:
  TestModel(const Architecture& sizes, const StepShape& step, int num_threads = 2, std::uint64_t seed = 1)
      : backend_(make_cpu_backend({.num_threads = num_threads})),
        plan_(trainable(sizes), {.step = step}, backend_->traits()),
        memory_(plan_, backend_->memory()),
        gpt_(*backend_, plan_, memory_) {
    // No op may rely on what its memory held: every byte starts as part of a NaN.
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0xFF});
    initialize_parameters(*backend_, plan_.parameters(), gpt_.master_weights(), seed);
    gpt_.refresh_weights();
  }

  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] const MemoryPlan& plan() const { return plan_; }
  [[nodiscard]] const PlannedMemory& memory() const { return memory_; }
  [[nodiscard]] const Architecture& config() const { return plan_.model(); }
  [[nodiscard]] Gpt& gpt() { return gpt_; }
  [[nodiscard]] TestBatch random_batch(std::uint64_t seed = 7) const {
    return TestBatch::random(config(), plan_.step().batch_size, plan_.step().length, seed);
  }

  [[nodiscard]] std::vector<float> read(const TensorView& tensor) {
    std::vector<float> values(static_cast<std::size_t>(tensor.num_elements()));
    copy_floats_to_host(*backend_, values, tensor);
    return values;
  }
  void write(const TensorView& tensor, std::span<const float> values) { copy_floats_to_device(*backend_, tensor, values); }
  [[nodiscard]] std::vector<float> weights() { return read(gpt_.master_weights().view()); }
  [[nodiscard]] std::vector<float> gradients() { return read(gpt_.gradients()); }
  void set_weights(std::span<const float> values) {
    write(gpt_.master_weights().view(), values);
    gpt_.refresh_weights();
  }

  /// Mean loss in nats over the batch, without dropout.
  [[nodiscard]] double evaluate(const TestBatch& batch) {
    gpt_.load_batch(batch.inputs, batch.targets);
    return gpt_.evaluate() / static_cast<double>(batch.size());
  }
  /// Gradient of the mean loss into gradients(); returns the mean loss, with dropout.
  double compute_gradients(const TestBatch& batch, const PassRandomness& randomness = {}) {
    gpt_.zero_gradients();
    gpt_.load_batch(batch.inputs, batch.targets);
    const auto count = static_cast<double>(batch.size());
    return gpt_.accumulate_gradients(static_cast<float>(1.0 / count), randomness) / count;
  }

 private:
  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  Gpt gpt_;
};

/// Name of the parameter that holds element `index` of the flat buffer.
inline std::string parameter_at(const ParameterLayout& layout, std::size_t index) {
  const auto element = static_cast<std::int64_t>(index);
  for (const ParameterSpec& spec : layout.parameters()) {
    if (element >= spec.offset && element < spec.offset + spec.num_elements()) {
      return fmt::format("{}[{}]", spec.name, element - spec.offset);
    }
  }
  return "an alignment gap";
}

/// Fails naming the first parameter whose bits differ.
inline void expect_same_bits(const ParameterLayout& layout, const std::vector<float>& expected,
                             const std::vector<float>& actual) {
  ASSERT_EQ(expected.size(), actual.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(expected[i]), std::bit_cast<std::uint32_t>(actual[i]))
        << parameter_at(layout, i) << ": " << expected[i] << " and " << actual[i];
  }
}

/// Largest absolute element of a parameter in a flat buffer.
inline double largest(const std::vector<float>& flat, const ParameterSpec& spec) {
  double result = 0;
  for (std::int64_t i = 0; i < spec.num_elements(); ++i) {
    result = std::max(result, std::fabs(static_cast<double>(flat[static_cast<std::size_t>(spec.offset + i)])));
  }
  return result;
}

/// Unit roundoff of float32.
inline constexpr double kUnitRoundoff = 0x1.0p-24;

/// Relative error of n float32 operations in a row. Each rounds by at most u; the worst case is n u, but roundings are as good
/// as independent and of both signs, so that lambda sqrt(n) u holds but with probability 2 exp(-lambda^2 / 2) (Higham, Mary
/// 2019, "A new approach to probabilistic rounding error analysis", theorem 2.4): 3e-8 for the lambda of 6 used here.
inline double probable_gamma(std::int64_t n) { return 6 * std::sqrt(static_cast<double>(n)) * kUnitRoundoff; }

/// Roundings on the longest path from the weights to a loss: every sum of a forward pass, one after the other. Per layer: two
/// norms (2 C each, mean and variance), qkv (C), scores (HS), probabilities and their product with v (2 T), projection (C), the
/// MLP (C + d_ff); then the final norm, the classifier (C) and the softmax over the vocabulary (V).
inline std::int64_t forward_path_length(const Architecture& config, std::int64_t length) {
  const std::int64_t C = config.embedding_dim;
  const std::int64_t layer = 7 * C + config.head_size + 2 * length + config.d_ff + 2 * config.conv_taps;
  return config.num_layers * layer + 3 * C + config.vocab_size;
}

/// The same to a gradient: the forward path, then the way back, in which each product has two transposed ones (the sum over the
/// rows of the batch, and the sum over the outputs) and which recomputes the probabilities.
inline std::int64_t backward_path_length(const Architecture& config, std::int64_t batch_size, std::int64_t length) {
  return 3 * forward_path_length(config, length) + batch_size * length;
}

}  // namespace virgil::test_support
