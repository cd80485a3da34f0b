// Query heads that share keys and values: what they cost, and that they compute what heads of their own would.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/fake_traits.h"
#include "virgil/backend/backend.h"
#include "virgil/base/error.h"
#include "virgil/model/gpt.h"
#include "virgil/model/memory_plan.h"
#include "virgil/ops/attention.h"

namespace virgil {
namespace {

using test_support::FakeTraits;

constexpr std::int64_t kLayers = 2, kHeads = 6, kHeadSize = 8, kWidth = 48, kContext = 32;

Architecture with_kv_heads(std::int64_t num_kv_heads) {
  return checked({.num_layers = kLayers,
                  .num_heads = kHeads,
                  .embedding_dim = kWidth,
                  .block_size = kContext,
                  .vocab_size = 100,
                  .num_kv_heads = num_kv_heads,
                  .vocab_multiple = kVocabMultiple});
}

MemoryPlan plan_of(std::int64_t num_kv_heads, Recompute recompute = Recompute::kNone) {
  PlanRequest request{.step = StepShape{.batch_size = 3, .length = kContext, .recompute = recompute}};
  request.decode = DecodeShape{.num_sequences = 2, .max_length = kContext, .dtype = DType::kFloat32};
  return {with_kv_heads(num_kv_heads), request, FakeTraits{}};
}

const ActivationSpec& activation(const MemoryPlan& plan, std::string_view name) {
  for (const ActivationSpec& spec : plan.activations().activations()) {
    if (spec.name == name) return spec;
  }
  throw InternalError("no such activation");
}

TEST(GroupedHeads, KeysAndValuesAreAsWideAsTheirHeads) {
  for (const std::int64_t kv : {1, 2, 3, 6}) {
    const MemoryPlan plan = plan_of(kv);
    const std::int64_t qkv = (kHeads + 2 * kv) * kHeadSize;
    EXPECT_EQ(activation(plan, "transformer.h.0.attn.c_attn").size_bytes, 3 * kContext * qkv * 4) << kv;
    EXPECT_EQ(activation(plan, "transformer.h.0.attn").size_bytes, 3 * kContext * kWidth * 4) << kv;
    EXPECT_EQ(plan.decoder().cache_bytes(), kLayers * 2 * 2 * kContext * kv * kHeadSize * 4) << kv;
    EXPECT_EQ(plan.parameters().find("transformer.h.1.attn.c_attn.weight").shape, (Shape{kWidth, qkv})) << kv;
  }
}

TEST(GroupedHeads, FewerOfThemNeverNeedMore) {
  for (const Recompute recompute : kAllRecompute) {
    std::int64_t last = 0;
    for (const std::int64_t kv : {1, 2, 3, 6}) {
      const std::int64_t total = plan_of(kv, recompute).total_bytes();
      EXPECT_GT(total, last) << kv;
      last = total;
    }
  }
}

/// A model of that many heads of keys and values, with the parameters that `value_of` gives by name and place.
class Model {
 public:
  explicit Model(std::int64_t num_kv_heads)
      : backend_(make_cpu_backend({.num_threads = 2})),
        plan_(with_kv_heads(num_kv_heads), {.step = StepShape{.batch_size = 1, .length = kContext}}, backend_->traits()),
        memory_(plan_, backend_->memory()),
        gpt_(*backend_, plan_, memory_) {}

  [[nodiscard]] std::span<float> parameter(const std::string& name) {
    const ParameterSpec& spec = plan_.parameters().find(name);
    const auto all = std::span(gpt_.weights().as<float>(), static_cast<std::size_t>(gpt_.weights().num_elements()));
    return all.subspan(static_cast<std::size_t>(spec.offset), static_cast<std::size_t>(spec.shape.num_elements()));
  }
  [[nodiscard]] std::span<const ParameterSpec> parameters() const { return plan_.parameters().parameters(); }
  [[nodiscard]] double loss() {
    std::vector<std::int32_t> tokens(kContext);
    std::iota(tokens.begin(), tokens.end(), 3);
    gpt_.load_batch(tokens, tokens);
    return gpt_.evaluate();
  }

 private:
  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  Gpt gpt_;
};

// Heads that share keys and values are those of a model in which each has the same ones of its own.
TEST(GroupedHeads, EqualHeadsWithTheSameKeysAndValues) {
  constexpr std::int64_t kKvHeads = 2, kGroup = kHeads / kKvHeads;
  Model grouped(kKvHeads), repeated(kHeads);
  float value = 0;
  for (const ParameterSpec& spec : grouped.parameters()) {
    const std::span<float> to = grouped.parameter(spec.name);
    for (float& element : to) element = 0.3F * std::sin(value += 1.7F);
    const std::span<float> same = repeated.parameter(spec.name);
    if (same.size() == to.size()) {
      std::ranges::copy(to, same.begin());
      continue;
    }
    // qkv: (inputs or one bias, heads side by side).
    const std::int64_t rows = std::ssize(to) / ((kHeads + 2 * kKvHeads) * kHeadSize);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t head = 0; head < 3 * kHeads; ++head) {
        const std::int64_t part = head / kHeads;
        const std::int64_t shared = part == 0 ? head : kHeads + (part - 1) * kKvHeads + head % kHeads / kGroup;
        const auto from = to.begin() + (row * (kHeads + 2 * kKvHeads) + shared) * kHeadSize;
        std::copy(from, from + kHeadSize, same.begin() + (row * 3 * kHeads + head) * kHeadSize);
      }
    }
  }
  EXPECT_NEAR(grouped.loss(), repeated.loss(), 1e-3);  // a sum of 32 losses of about 5
}

// Products over queries and keys are those of all query heads; keys and values are read once.
TEST(GroupedHeads, CostTheProductsOfTheirQueriesAndFewerBytes) {
  const auto cost_of = [](std::int64_t kv) {
    const MemoryPlan plan = plan_of(kv);
    ops::Cost cost;
    const PlacedTape placed = plan.training();
    for (const Call& call : placed.tape.calls()) {
      if (const auto* attention = std::get_if<ops::AttentionForward>(&call)) cost = attention->cost();
    }
    return cost;
  };
  EXPECT_EQ(cost_of(6).flops, cost_of(1).flops);
  EXPECT_EQ(cost_of(6).bytes - cost_of(1).bytes, 3.0 * kContext * 2 * 5 * kHeadSize * 4);
}

TEST(GroupedHeads, QueryHeadsMustShareThemEvenly) {
  const ops::AttentionForward call{.out = TensorView::planned(0, 0, DType::kFloat32, {1, 4, 48}),
                                   .lse = {},
                                   .qkv = TensorView::planned(1, 0, DType::kFloat32, {1, 4, 48 + 64}),
                                   .num_heads = 6,
                                   .num_kv_heads = 4};
  EXPECT_THROW((void)call.check(), InternalError);
}

}  // namespace
}  // namespace virgil
