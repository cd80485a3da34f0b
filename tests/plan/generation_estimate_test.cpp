#include "virgil/plan/generation_estimate.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/plan/catalogue.h"

namespace virgil {
namespace {

const Architecture& model(std::string_view name) { return find_model(name)->spec; }

TEST(GenerationEstimate, FollowsTheTypeOfTheWeightsAlone) {
  const GenerationShape shape{.num_sequences = 8, .context = 2048};
  const InferenceEstimate half = estimate_generation(model("llama2-7b"), parse_weight_type("bfloat16"), shape);
  EXPECT_EQ(half.weights, 2 * std::int64_t{6'738'415'616});
  EXPECT_EQ(half.kv_cache, std::int64_t{8} << 30) << "8 sequences of 2,048 tokens of 2 x 32 x 4,096 values of 2 bytes";
  for (const WeightType& type : {parse_weight_type("int8"), parse_weight_type("int4")}) {
    const InferenceEstimate quantized = estimate_generation(model("llama2-7b"), type, shape);
    EXPECT_EQ(quantized.weights, half.weights * type.bits / 16);
    EXPECT_EQ(quantized.kv_cache, half.kv_cache);
    EXPECT_EQ(quantized.activations, half.activations);
    EXPECT_EQ(quantized.total, quantized.weights + quantized.kv_cache + quantized.activations);
  }
  EXPECT_THROW(static_cast<void>(parse_weight_type("int3")), UserError);
}

TEST(GenerationSpeed, IsBoundByBytesForOneSequenceAndByProductsForAPrompt) {
  const GpuModel& gpu = *find_gpu("RTX 4090");
  const WeightType& half = parse_weight_type("bfloat16");
  const GenerationSpeed one = bound_generation_speed(model("llama2-7b"), half, {.num_sequences = 1, .context = 4096}, gpu);
  // All weights but the token embedding, which is only looked up, and 2 GiB of cache.
  const double bytes = 2.0 * (6'738'415'616.0 - 32000.0 * 4096) + 2147483648.0;
  EXPECT_DOUBLE_EQ(one.token_s, bytes / 1008e9);
  // 2 N + 2 L C T operations a token, of all N that are multiplied; the head's for the last token alone.
  const double head = 32000.0 * 4096;
  const double flops = 4096 * (2.0 * (6'738'415'616.0 - 2 * head) + 2.0 * 32 * 4096 * 4096) + 2 * head;
  EXPECT_NEAR(one.prompt_s, flops / 165.2e12, 1e-9);
  EXPECT_DOUBLE_EQ(one.tokens_per_s({.num_sequences = 1, .context = 4096}), 1 / one.token_s);
}

TEST(GenerationSpeed, CountsATiedHeadOnceASequence) {
  const PeakRates peak{.flops_per_s = 1, .bytes_per_s = 1e30};
  const GenerationShape shape{.num_sequences = 3, .context = 100};
  const double head = 2.0 * 50257 * 768;
  const double body = 2.0 * (124'439'808 - 1024 * 768) - head + 2.0 * 12 * 768 * 100;
  EXPECT_NEAR(bound_generation_speed(model("gpt2"), parse_weight_type("float32"), shape, peak).prompt_s,
              3 * (100 * body + head), 1e3);
}

TEST(GenerationSpeed, OfManySequencesSharesTheWeights) {
  const GpuModel& gpu = *find_gpu("RTX 4090");
  const WeightType& type = parse_weight_type("int4");
  const GenerationShape one{.num_sequences = 1, .context = 256};
  const GenerationShape many{.num_sequences = 16, .context = 256};
  const double rate = bound_generation_speed(model("llama2-7b"), type, one, gpu).tokens_per_s(one);
  const double shared = bound_generation_speed(model("llama2-7b"), type, many, gpu).tokens_per_s(many);
  EXPECT_GT(shared, 5 * rate);
  EXPECT_LT(shared, 16 * rate);
}

TEST(GenerationSpeed, OnAGpuWithoutSixteenBitsUsesFloat32) {
  const GpuModel& gpu = *find_gpu("GTX 1080 Ti");
  const GenerationShape shape{.num_sequences = 1, .context = 1024};
  EXPECT_DOUBLE_EQ(bound_generation_speed(model("gpt2"), parse_weight_type("bfloat16"), shape, gpu).prompt_s,
                   bound_generation_speed(model("gpt2"), parse_weight_type("float32"), shape, gpu).prompt_s);
}

}  // namespace
}  // namespace virgil
