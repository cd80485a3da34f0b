// Grouped key and value heads are recorded, planned and allocated, though no backend computes them yet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
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
using testing::HasSubstr;

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

TEST(GroupedHeads, AreAllocatedAsPlannedAndRefusedByTheKernels) {
  const auto backend = make_cpu_backend({.num_threads = 1});
  const MemoryPlan plan(with_kv_heads(2), {.step = StepShape{.batch_size = 1, .length = kContext}}, backend->traits());
  const PlannedMemory memory(plan, backend->memory());
  Gpt gpt(*backend, plan, memory);
  const std::vector<std::int32_t> tokens(kContext, 1);
  gpt.load_batch(tokens, tokens);
  try {
    (void)gpt.evaluate();
    FAIL() << "grouped heads are computed: train them";
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(), HasSubstr("6 query heads share 2 key and value heads"));
  }
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
