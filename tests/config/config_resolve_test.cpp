#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string resolve_error(TrainConfig config) {
  const TrainConfig before = config;
  std::string message = user_error_of([&] { resolve_config(config); });
  EXPECT_EQ(config, before);
  return message;
}

TrainConfig resolved(TrainConfig config) {
  resolve_config(config);
  return config;
}

TEST(ResolveConfig, FillsWhatFollowsFromOtherKeys) {
  TrainConfig config;
  config.n_embd = 384;
  config.n_head = 6;
  config.block_size = 256;
  config.batch_size = 12;
  config.max_iters = 1500;
  const TrainConfig result = resolved(config);
  EXPECT_EQ(result.d_ff, 1536);
  EXPECT_EQ(result.total_batch_size, 3072);
  EXPECT_EQ(result.grad_accum_steps, 1);
  EXPECT_EQ(result.lr_decay_iters, 1500);
  EXPECT_EQ(result.vocab_size, 0) << "left to the tokenizer";
}

TEST(ResolveConfig, IsIdempotent) {
  TrainConfig config;
  config.grad_accum_steps = 5;
  const TrainConfig once = resolved(config);
  EXPECT_EQ(resolved(once), once);
}

TEST(ResolveConfig, WeightsWithoutAFloat32CopyAreBFloat16) {
  TrainConfig config;
  config.master_weights = false;
  for (const char* dtype : {"auto", "bfloat16"}) {
    config.dtype = dtype;
    EXPECT_FALSE(resolved(config).master_weights) << dtype;
  }
  config.dtype = "float32";
  EXPECT_THAT(resolve_error(config), AllOf(HasSubstr("master_weights is false and dtype is float32"), HasSubstr("bfloat16")));
  config.dtype = "float16";
  EXPECT_THAT(resolve_error(config), AllOf(HasSubstr("master_weights is false and dtype is float16"), HasSubstr("65504")));
  config.master_weights = true;
  EXPECT_TRUE(resolved(config).master_weights);
}

TEST(ResolveConfig, DerivesAccumulationFromTheTotal) {
  TrainConfig config;
  config.batch_size = 4;
  config.block_size = 128;
  config.total_batch_size = 4096;
  EXPECT_EQ(resolved(config).grad_accum_steps, 8);
  config.grad_accum_steps = 8;
  EXPECT_EQ(resolved(config).grad_accum_steps, 8);
  config.grad_accum_steps = 2;
  EXPECT_THAT(resolve_error(config),
              AllOf(HasSubstr("needs grad_accum_steps = 8, but grad_accum_steps is 2"), HasSubstr("to 1024")));
}

TEST(ResolveConfig, RefusesATotalThatMicroStepsDoNotFill) {
  TrainConfig config;
  config.batch_size = 12;
  config.block_size = 256;
  config.total_batch_size = 10000;
  EXPECT_THAT(resolve_error(config),
              AllOf(HasSubstr("total_batch_size is 10000"), HasSubstr("12 * 256 = 3072"), HasSubstr("9216")));
  config.total_batch_size = 1;
  EXPECT_THAT(resolve_error(config), HasSubstr("set it to 3072"));
}

TEST(ResolveConfig, LeavesAnAutomaticBatchForLater) {
  TrainConfig config;
  config.batch_size = 0;
  config.block_size = 256;
  config.total_batch_size = 4096;
  TrainConfig result = config;
  resolve_config(result);
  EXPECT_EQ(result.batch_size, 0);
  EXPECT_EQ(result.grad_accum_steps, 1);
  config.total_batch_size = 4000;
  EXPECT_THAT(resolve_error(config), AllOf(HasSubstr("block_size = 256"), HasSubstr("4096")));
  config.total_batch_size = 4096;
  config.grad_accum_steps = 2;
  EXPECT_THAT(resolve_error(config), HasSubstr("batch_size is auto"));
}

TEST(ResolveConfig, RefusesHeadsThatDoNotDivide) {
  TrainConfig config;
  config.n_embd = 100;
  config.n_head = 12;
  EXPECT_THAT(resolve_error(config), AllOf(HasSubstr("n_embd is 100"), HasSubstr("n_embd 96 with n_head 12")));
  config.n_embd = 1024;
  config.n_head = 2;
  EXPECT_THAT(resolve_error(config), HasSubstr("head size"));
}

TEST(ResolveConfig, RefusesRatesThatRise) {
  TrainConfig config;
  config.learning_rate = 3e-5;
  EXPECT_THAT(resolve_error(config),
              AllOf(HasSubstr("min_lr is 6e-05"), HasSubstr("learning_rate = 3e-05"), HasSubstr("3e-06")));
}

TEST(ResolveConfig, RefusesAWarmUpWithoutDecay) {
  TrainConfig config;
  config.max_iters = 50;
  TrainConfig shortened = config;
  resolve_config(shortened);
  EXPECT_EQ(shortened.warmup_iters, 5) << "a tenth of the run, which the caller tells";
  config.max_iters = 1000;
  config.lr_decay_iters = 100;
  EXPECT_THAT(resolve_error(config), HasSubstr("lr_decay_iters = 100"));
  config.lr_schedule = "constant";
  EXPECT_NO_THROW(resolve_config(config));
}

TEST(ResolveConfig, RefusesResumeWithOverwrite) {
  TrainConfig config;
  config.resume = config.overwrite = true;
  EXPECT_THAT(resolve_error(config), HasSubstr("one of the two"));
}

TEST(ResolveConfig, RefusesDropoutWithAttentionByCudnn) {
  TrainConfig config;
  config.attention = "cudnn";
  EXPECT_EQ(resolved(config).attention, "cudnn");
  config.dropout = 0.1;
  EXPECT_THAT(resolve_error(config), AllOf(HasSubstr("dropout is 0.1"), HasSubstr("cudnn"), HasSubstr("attention to virgil")));
}

TEST(Presets, ParseResolveAndBearTheirOwnName) {
  int num_presets = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test_support::repository_path("configs"))) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path());
    TrainConfig config;
    apply_config_file(config, entry.path());
    EXPECT_NO_THROW(resolve_config(config));
    EXPECT_EQ(config.model_name, entry.path().stem());
    EXPECT_EQ(config.n_embd, 64 * config.n_head) << "the documentation promises heads of 64";
    ++num_presets;
  }
  EXPECT_EQ(num_presets, 11);
}

TEST(DescribeChanges, ListsWhatDiffersFromTheDefaults) {
  EXPECT_TRUE(describe_changes(TrainConfig{}).empty());
  TrainConfig config;
  config.bias = true;
  config.n_layer = 3;
  config.learning_rate = 1e-3;
  config.sample_prompt = "Nel\tmezzo";
  EXPECT_THAT(describe_changes(config),
              ElementsAre("n_layer = 3", "bias = true", "learning_rate = 0.001", R"(sample_prompt = "Nel\tmezzo")"));
}

TEST(ConfigDocs, HelpNamesEveryKeyAndAlias) {
  const std::string help = config_help();
  for (const ConfigKey& key : config_keys()) {
    EXPECT_THAT(help, HasSubstr(key.name));
    for (const std::string& alias : key.aliases) EXPECT_THAT(help, HasSubstr("--" + alias));
  }
}

TEST(ConfigDocs, ConfigurationReferenceIsUpToDate) {
  EXPECT_EQ(test_support::read_all(test_support::repository_path("docs/configuration.md")), config_markdown())
      << "run: build/config_docs > docs/configuration.md";
}

TEST(ConfigSchema, NamesAndAliasesAreUnique) {
  std::vector<std::string> names = {"config", "config_file", "help"};
  for (const ConfigKey& key : config_keys()) {
    names.push_back(key.name);
    names.insert(names.end(), key.aliases.begin(), key.aliases.end());
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

TEST(ConfigSchema, DefaultsKeepTheirOwnRules) {
  TrainConfig config;
  EXPECT_NO_THROW(apply_config_json(config, config_to_json(TrainConfig{}), "defaults"));
  EXPECT_NO_THROW(resolve_config(config));
}

TEST(ResolveConfig, MuonKeepsFloat32StateAndWeights) {
  TrainConfig config;
  for (const char* optimizer : {"muon", "normuon", "adamw"}) {
    config = {};
    config.optimizer = optimizer;
    if (config.optimizer == "adamw") config.param_groups = {"*.attn.* optimizer=muon"};
    EXPECT_EQ(resolved(config).optimizer, optimizer);
    config.optimizer_state_dtype = "bfloat16";
    EXPECT_THAT(resolve_error(config), HasSubstr("optimizer_state_dtype is bfloat16"));
    config.optimizer_state_dtype = "float32";
    config.dtype = "bfloat16";
    config.master_weights = false;
    EXPECT_THAT(resolve_error(config), HasSubstr("master_weights is false"));
  }
}

TEST(ResolveConfig, GroupsMatchTheModelsParameters) {
  TrainConfig config;
  config.n_layer = 2;
  config.param_groups = {"*.h.1.* lr_factor=0.5"};
  EXPECT_EQ(resolved(config).param_groups, config.param_groups);
  config.param_groups = {"*.h.2.* lr_factor=0.5"};
  EXPECT_THAT(resolve_error(config), HasSubstr("\"*.h.2.*\""));
}

}  // namespace
}  // namespace virgil
