#include "virgil/plan/estimates.h"

#include <gtest/gtest.h>

#include "virgil/base/error.h"
#include "virgil/plan/catalogue.h"

namespace virgil {
namespace {

const Architecture& spec_of(const char* name) { return find_model(name)->spec; }

TEST(Estimates, WeightsTakeTheirBits) {
  EXPECT_EQ(weight_bytes(1000, 32), 4000);
  EXPECT_EQ(weight_bytes(1000, 16), 2000);
  EXPECT_EQ(weight_bytes(1000, 8), 1000);
  EXPECT_EQ(weight_bytes(1001, 4), 501);
  EXPECT_THROW((void)weight_bytes(std::int64_t{1} << 60, 32), UserError);
}

// Llama 2 7B, 4096 positions in 16 bits: 2 * 32 layers * 4096 * 4096 * 2 bytes = 2 GiB.
TEST(Estimates, CacheHoldsKeysAndValuesOfEveryPosition) {
  EXPECT_EQ(estimate_inference(spec_of("llama2-7b"), 16, 4096, 1).kv_cache, std::int64_t{2} << 30);
  EXPECT_EQ(estimate_inference(spec_of("llama2-7b"), 16, 4096, 3).kv_cache, std::int64_t{6} << 30);
  // Grouped queries: 8 heads of 128 instead of 64.
  EXPECT_EQ(estimate_inference(spec_of("llama3-70b"), 16, 8192, 1).kv_cache, 2LL * 80 * 8192 * 1024 * 2);
}

TEST(Estimates, TotalIsTheSumAndTheRuleIsWeightsTimesOnePointTwo) {
  const InferenceEstimate estimate = estimate_inference(spec_of("gpt2"), 32, 1024, 1);
  EXPECT_EQ(estimate.weights, 4 * 124439808LL);
  EXPECT_EQ(estimate.total, estimate.weights + estimate.kv_cache + estimate.activations);
  EXPECT_EQ(estimate.rule_of_thumb, estimate.weights + estimate.weights / 5);
  EXPECT_GT(estimate.activations, 50257 * 4);
}

TEST(Estimates, AttentionMatricesGrowWithTheSquareOfTheContext) {
  Architecture spec = spec_of("gpt2");
  EXPECT_EQ(attention_matrix_bytes(spec, 8, 32), 2LL * 12 * 8 * 12 * 1024 * 1024 * 4);
  spec.block_size = 256;
  EXPECT_EQ(attention_matrix_bytes(spec, 8, 32), 2LL * 12 * 8 * 12 * 256 * 256 * 4);
}

TEST(Estimates, FlopsAreSixPerParameterAndAttention) {
  const FlopsPerToken flops = count_flops(spec_of("gpt2"));
  EXPECT_DOUBLE_EQ(flops.parameters, 6.0 * (124439808 - 1024 * 768));
  EXPECT_DOUBLE_EQ(flops.attention, 6.0 * 12 * 768 * 1024);
  EXPECT_DOUBLE_EQ(flops.inference() * 3, flops.training());
  EXPECT_DOUBLE_EQ(training_seconds(flops, 1e9, 100), flops.training() * 1e9 / 1e14);
}

}  // namespace
}  // namespace virgil
