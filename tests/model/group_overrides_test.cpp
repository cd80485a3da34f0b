#include "virgil/model/group_overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/user_error.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Architecture overridden_model() {
  return trainable(
      {.num_layers = 2, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65, .biases = kAllBiases});
}

/// The groups of the model's parameters under these lines.
class Overridden {
 public:
  explicit Overridden(const std::vector<std::string>& lines, OptimizerKind kind = OptimizerKind::kAdamW)
      : layout_(overridden_model(), 2, with_overrides(overridden_model(), parse_group_overrides(lines), default_groups(kind))) {
  }
  [[nodiscard]] const ParameterGroup& of(std::string_view name) const { return layout_.groups()[layout_.find(name).group]; }

 private:
  ParameterLayout layout_;
};

std::string error_of(const std::vector<std::string>& lines) {
  return user_error_of([&] { Overridden groups(lines); });
}

TEST(GroupOverrides, ALineIsPatternsAndSettings) {
  const GroupOverride group = parse_group_override(" *.wte.weight,*.wpe.weight  lr_factor=0.5 decay_factor=0 optimizer=adamw ");
  EXPECT_THAT(group.patterns, ElementsAre("*.wte.weight", "*.wpe.weight"));
  EXPECT_EQ(group.learning_rate_factor, 0.5);
  EXPECT_EQ(group.weight_decay_factor, 0);
  EXPECT_EQ(group.optimizer, OptimizerKind::kAdamW);
  EXPECT_THAT(parse_group_override("a, b lr_factor=2").patterns, ElementsAre("a", "b"));
}

TEST(GroupOverrides, WhatIsWrongWithALineIsSaid) {
  EXPECT_EQ(group_override_problem("*.attn.* lr_factor=1e-1"), "");
  EXPECT_THAT(group_override_problem(""), HasSubstr("names no parameters"));
  EXPECT_THAT(group_override_problem("lr_factor=2"), HasSubstr("names no parameters"));
  EXPECT_THAT(group_override_problem("*.attn.*"), HasSubstr("says nothing"));
  EXPECT_THAT(group_override_problem("* lr=3e-4"), HasSubstr("share of learning_rate"));
  EXPECT_THAT(group_override_problem("* weight_decay=0"), HasSubstr("share of weight_decay"));
  EXPECT_THAT(group_override_problem("* momentum=0"), HasSubstr("\"momentum\" is none of"));
  EXPECT_THAT(group_override_problem("* optimizer=sgd"), AllOf(HasSubstr("\"sgd\""), HasSubstr("adamw, muon, normuon")));
  EXPECT_THAT(group_override_problem("* lr_factor=2 lr_factor=3"), HasSubstr("lr_factor is given twice"));
  for (const char* factor : {"", "x", "-1", "1e4", "nan", "inf", "1.0x", "0,5"}) {
    EXPECT_THAT(group_override_problem(std::string("* lr_factor=") + factor), HasSubstr("a number from 0 to 1000")) << factor;
  }
}

TEST(GroupOverrides, ChangeWhatTheySayAndNothingElse) {
  for (const OptimizerKind kind : kAllOptimizers) {
    const Overridden groups({"*.h.1.* lr_factor=0.5", "*.h.* decay_factor=0.25 lr_factor=2"}, kind);
    const ParameterGroup& late = groups.of("transformer.h.1.attn.c_attn.weight");
    EXPECT_EQ(late.optimizer.kind, kind);
    EXPECT_EQ(late.learning_rate_factor, 0.5);
    EXPECT_EQ(late.weight_decay_factor, 1);
    const ParameterGroup& late_bias = groups.of("transformer.h.1.attn.c_attn.bias");
    EXPECT_EQ(late_bias.optimizer.kind, OptimizerKind::kAdamW);
    EXPECT_EQ(late_bias.learning_rate_factor, 0.5);
    EXPECT_EQ(late_bias.weight_decay_factor, 0) << "vectors still do not decay";
    EXPECT_EQ(groups.of("transformer.h.0.mlp.c_fc.weight").weight_decay_factor, 0.25);
    EXPECT_EQ(groups.of("transformer.h.0.mlp.c_fc.weight").learning_rate_factor, 2);
    EXPECT_EQ(groups.of("transformer.h.0.ln_1.weight").weight_decay_factor, 0);
    EXPECT_EQ(groups.of("transformer.wte.weight").learning_rate_factor, 1);
  }
}

TEST(GroupOverrides, AnOptimizerOfMatricesTakesTheMatricesAmongWhatMatches) {
  const Overridden groups({"*.h.1.* optimizer=normuon lr_factor=0.5"});
  EXPECT_EQ(groups.of("transformer.h.1.mlp.c_fc.weight").optimizer.kind, OptimizerKind::kNorMuon);
  EXPECT_EQ(groups.of("transformer.h.1.mlp.c_fc.bias").optimizer.kind, OptimizerKind::kAdamW);
  EXPECT_EQ(groups.of("transformer.h.1.mlp.c_fc.bias").learning_rate_factor, 0.5);
  EXPECT_EQ(groups.of("transformer.h.0.mlp.c_fc.weight").optimizer.kind, OptimizerKind::kAdamW);
  const Overridden back({"*.attn.* optimizer=adamw"}, OptimizerKind::kMuon);
  EXPECT_EQ(back.of("transformer.h.0.attn.c_attn.weight").optimizer.kind, OptimizerKind::kAdamW);
  EXPECT_EQ(back.of("transformer.h.0.mlp.c_fc.weight").optimizer.kind, OptimizerKind::kMuon);
}

TEST(GroupOverrides, MayTakeEverything) {
  const Overridden groups({"* lr_factor=0.5"});
  EXPECT_EQ(groups.of("transformer.wte.weight").learning_rate_factor, 0.5);
  EXPECT_EQ(groups.of("transformer.ln_f.weight").learning_rate_factor, 0.5);
}

TEST(GroupOverrides, WhatTakesNothingIsRefused) {
  EXPECT_THAT(error_of({"*.atn.* lr_factor=2"}),
              AllOf(HasSubstr("\"*.atn.*\""), HasSubstr("matches no parameter"), HasSubstr("transformer.wte.weight")));
  EXPECT_THAT(error_of({"*.attn.* lr_factor=2", "*.c_attn.weight lr_factor=3"}), HasSubstr("put it before them"));
  EXPECT_THAT(error_of({"*.wte.weight optimizer=muon"}), HasSubstr("the matrices of blocks alone"));
  EXPECT_THAT(error_of({"*.attn.*,*.ln_1.* optimizer=muon"}), HasSubstr("\"*.ln_1.*\" matches none"));
  EXPECT_THAT(error_of({"*.bias decay_factor=0.5"}), HasSubstr("have no weight decay"));
  EXPECT_NO_THROW(Overridden({"*.bias decay_factor=0"}));
}

}  // namespace
}  // namespace virgil
