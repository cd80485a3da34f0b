#include "virgil/model/parameter_views.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace virgil {
namespace {

class Views : public testing::Test {
 protected:
  void build(bool bias, bool tied) {
    config_.emplace(ModelSizes{.num_layers = 2,
                               .num_heads = 2,
                               .embedding_dim = 16,
                               .block_size = 8,
                               .vocab_size = 65,
                               .d_ff = 40,
                               .bias = bias,
                               .tie_weights = tied});
    layout_.emplace(*config_);
    flat_.resize(static_cast<std::size_t>(layout_->flat_elements()));
    views_.emplace(*config_, *layout_, TensorView(flat_.data(), DType::kFloat32, {layout_->flat_elements()}));
  }

  void expect_is(const TensorView& view, const std::string& name) {
    const ParameterSpec& spec = layout_->find(name);
    ASSERT_TRUE(view.present()) << name;
    EXPECT_EQ(view.as<float>(), flat_.data() + spec.offset) << name;
    EXPECT_EQ(view.shape(), spec.shape) << name;
  }

  std::optional<ModelConfig> config_;
  std::optional<ParameterLayout> layout_;
  std::optional<ParameterViews> views_;
  std::vector<float> flat_;
};

TEST_F(Views, PointAtTheirParameters) {
  build(/*bias=*/true, /*tied=*/false);
  expect_is(views_->wte, "transformer.wte.weight");
  expect_is(views_->wpe, "transformer.wpe.weight");
  expect_is(views_->norm_weight, "transformer.ln_f.weight");
  expect_is(views_->norm_bias, "transformer.ln_f.bias");
  expect_is(views_->head, "lm_head.weight");
  ASSERT_EQ(views_->blocks.size(), 2U);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const BlockViews& block = views_->blocks[layer];
    const std::string prefix = fmt::format("transformer.h.{}.", layer);
    expect_is(block.norm1_weight, prefix + "ln_1.weight");
    expect_is(block.norm1_bias, prefix + "ln_1.bias");
    expect_is(block.qkv_weight, prefix + "attn.c_attn.weight");
    expect_is(block.qkv_bias, prefix + "attn.c_attn.bias");
    expect_is(block.attention_weight, prefix + "attn.c_proj.weight");
    expect_is(block.attention_bias, prefix + "attn.c_proj.bias");
    expect_is(block.norm2_weight, prefix + "ln_2.weight");
    expect_is(block.norm2_bias, prefix + "ln_2.bias");
    expect_is(block.fc_weight, prefix + "mlp.c_fc.weight");
    expect_is(block.fc_bias, prefix + "mlp.c_fc.bias");
    expect_is(block.mlp_weight, prefix + "mlp.c_proj.weight");
    expect_is(block.mlp_bias, prefix + "mlp.c_proj.bias");
  }
}

TEST_F(Views, HeadIsTheTokenEmbeddingWhenTied) {
  build(/*bias=*/true, /*tied=*/true);
  expect_is(views_->head, "transformer.wte.weight");
}

TEST_F(Views, BiasesAreAbsentWithoutBiases) {
  build(/*bias=*/false, /*tied=*/true);
  EXPECT_FALSE(views_->norm_bias.present());
  for (const BlockViews& block : views_->blocks) {
    for (const TensorView& bias :
         {block.norm1_bias, block.qkv_bias, block.attention_bias, block.norm2_bias, block.fc_bias, block.mlp_bias}) {
      EXPECT_FALSE(bias.present());
    }
  }
}

}  // namespace
}  // namespace virgil
