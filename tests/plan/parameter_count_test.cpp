#include "virgil/plan/parameter_count.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/random_model.h"
#include "support/user_error.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/parameter_table.h"

namespace virgil {
namespace {

using test_support::RandomModel;

TEST(ParameterCount, EqualsTheParameterLayoutForRandomModels) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Architecture config = trainable(RandomModel(seed).sizes);
    const ParameterLayout layout(config);
    const Architecture spec = config;
    const std::vector<ParameterSpec> tensors = list_parameters(spec);
    ASSERT_EQ(tensors.size(), layout.parameters().size()) << "seed " << seed;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const ParameterSpec& parameter = layout.parameters()[i];
      EXPECT_EQ(tensors[i].name, parameter.name) << "seed " << seed;
      EXPECT_EQ(tensors[i].shape, parameter.shape) << tensors[i].name;
      EXPECT_EQ(tensors[i].layer, parameter.layer) << tensors[i].name;
      EXPECT_EQ(tensors[i].tied, i == 0 && config.tie_weights) << tensors[i].name;
    }
    const ParameterBreakdown breakdown = count_parameters(spec);
    EXPECT_EQ(breakdown.total, layout.num_parameters()) << "seed " << seed;
    EXPECT_EQ(breakdown.stored_total, layout.num_stored_parameters()) << "seed " << seed;
  }
}

// The worked example of docs/parameters.md.
TEST(ParameterCount, BreaksDownThe150MModel) {
  const Architecture config =
      trainable({.num_layers = 16, .num_heads = 12, .embedding_dim = 768, .block_size = 1024, .vocab_size = 50257});
  const ParameterBreakdown b = count_parameters(config);
  EXPECT_EQ(b.token_embedding, 38633472);
  EXPECT_EQ(b.position_embedding, 786432);
  EXPECT_EQ(b.attention, 2359296);
  EXPECT_EQ(b.mlp, 4718592);
  EXPECT_EQ(b.layer_norms, 1536);
  EXPECT_EQ(b.per_layer, 7079424);
  EXPECT_EQ(b.all_layers, 16 * 7079424);
  EXPECT_EQ(b.final_norm, 768);
  EXPECT_EQ(b.head, 0);
  EXPECT_EQ(b.total, 152691456);
}

TEST(ParameterCount, CountsAnUntiedHeadOnce) {
  Architecture sizes{.num_layers = 16, .num_heads = 12, .embedding_dim = 768, .block_size = 1024, .vocab_size = 50257};
  sizes.tie_weights = false;
  const ParameterBreakdown b = count_parameters(trainable(sizes));
  EXPECT_EQ(b.head, 38633472);
  EXPECT_EQ(b.total, 191324928);
}

Architecture tiny_llama() {
  return checked({.name = "tiny",
                  .family = &kLlamaFamily,
                  .num_layers = 2,
                  .num_heads = 4,
                  .embedding_dim = 16,
                  .block_size = 64,
                  .vocab_size = 100,
                  .d_ff = 24,
                  .num_kv_heads = 2,
                  .head_size = 8,
                  .position = PositionKind::kRotary,
                  .norm = NormKind::kRmsNorm,
                  .mlp = MlpKind::kSwiGlu,
                  .tie_weights = false});
}

// Each term by hand: q 16x32, k and v 16x16, o 32x16; gate, up, down 16x24; norms 16.
TEST(ParameterCount, CountsGroupedQueriesGatesAndRmsNorm) {
  const ParameterBreakdown b = count_parameters(tiny_llama());
  EXPECT_EQ(b.token_embedding, 1600);
  EXPECT_EQ(b.position_embedding, 0);
  EXPECT_EQ(b.attention, 512 + 256 + 256 + 512);
  EXPECT_EQ(b.mlp, 3 * 384);
  EXPECT_EQ(b.layer_norms, 32);
  EXPECT_EQ(b.final_norm, 16);
  EXPECT_EQ(b.head, 1600);
  EXPECT_EQ(b.total, 1600 + 2 * (1536 + 1152 + 32) + 16 + 1600);
}

TEST(ParameterCount, CountsEachKindOfBias) {
  Architecture spec = tiny_llama();
  const std::int64_t without = count_parameters(spec).per_layer;
  spec.biases.qkv = true;
  EXPECT_EQ(count_parameters(spec).per_layer, without + 32 + 16 + 16);
  spec.biases.projection = true;
  EXPECT_EQ(count_parameters(spec).per_layer, without + 64 + 16);
  spec.biases.mlp = true;
  EXPECT_EQ(count_parameters(spec).per_layer, without + 80 + 24 + 24 + 16);
  spec.biases.norm = true;  // RMSNorm has none
  EXPECT_EQ(count_parameters(spec).layer_norms, 32);
  spec.norm = NormKind::kLayerNorm;
  EXPECT_EQ(count_parameters(spec).layer_norms, 64);
}

TEST(ParameterCount, MultiQueryAttentionHasOneKeyAndOneValueHead) {
  Architecture spec = tiny_llama();
  spec.num_kv_heads = 1;
  EXPECT_EQ(count_parameters(spec).attention, 512 + 128 + 128 + 512);
}

TEST(ParameterCount, SumOfTheListIsTheTotal) {
  for (Architecture spec : {tiny_llama(), checked({.name = "gpt",
                                          .num_layers = 3,
                                          .num_heads = 2,
                                          .embedding_dim = 16,
                                          .block_size = 32,
                                          .vocab_size = 50,
                                          .vocab_multiple = 64})}) {
    std::int64_t sum = 0;
    for (const ParameterSpec& tensor : list_parameters(spec)) sum += tensor.num_elements();
    EXPECT_EQ(sum, count_parameters(spec).total) << spec.name;
  }
}

TEST(ParameterCount, PaddingRowsCountInTheTotalOnly) {
  Architecture spec = tiny_llama();
  spec.vocab_multiple = 64;
  const ParameterBreakdown b = count_parameters(spec);
  EXPECT_EQ(b.token_embedding, 128 * 16);
  EXPECT_EQ(b.total - b.stored_total, 2 * 28 * 16);
}

TEST(Architecture, RefusesSizesThatCannotBe) {
  const auto message = [](auto change) {
    Architecture spec = tiny_llama();
    change(spec);
    return test_support::user_error_of([&] { (void)count_parameters(checked(spec)); });
  };
  EXPECT_NE(message([](auto& s) { s.num_layers = 0; }).find("n_layer is 0"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.embedding_dim = -3; }).find("n_embd is -3"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.embedding_dim = 1'000'000'000; }).find("n_embd is 1000000000"), std::string::npos);
  EXPECT_NE(message([](auto& s) { s.num_kv_heads = 3; }).find("multiple of n_kv_head"), std::string::npos);
  EXPECT_NE(message([](auto& s) {
              s.head_size = 0;
              s.num_heads = 6;
              s.num_kv_heads = 6;
            }).find("multiple of n_head"),
            std::string::npos);
}

TEST(Architecture, OverflowIsAnErrorNotANumber) {
  Architecture spec = tiny_llama();
  spec.num_layers = 1 << 14;
  spec.embedding_dim = 1 << 20;
  spec.num_heads = 1 << 20;
  spec.num_kv_heads = 1 << 20;
  spec.head_size = 1 << 20;
  spec.d_ff = 1 << 22;
  EXPECT_THROW((void)count_parameters(checked(spec)), UserError);
}

TEST(Architecture, VirgilsModelsAreTrainableAndComeBackEqual) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Architecture config = trainable(RandomModel(seed).sizes);
    EXPECT_EQ(trainable(config), config) << "seed " << seed;
  }
}

TEST(Architecture, SaysWhatVirgilDoesNotTrain) {
  Architecture spec = tiny_llama();
  spec.family = &kGpt2Family;
  const std::string reason = test_support::user_error_of([&] { (void)trainable(spec); });
  for (const char* part : {"rotary", "rmsnorm", "swiglu", "grouped"}) EXPECT_NE(reason.find(part), std::string::npos) << reason;
}

}  // namespace
}  // namespace virgil
