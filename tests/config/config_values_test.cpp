#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "support/user_error.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string error_of_setting(std::string_view key, std::string_view value) {
  TrainConfig config;
  std::string message = user_error_of([&] { set_config_value(config, key, value, "somewhere"); });
  EXPECT_EQ(config, TrainConfig{}) << "a refused value changed the config";
  return message;
}

TrainConfig with(std::string_view key, std::string_view value) {
  TrainConfig config;
  set_config_value(config, key, value, "somewhere");
  return config;
}

TEST(ConfigValue, SetsEveryType) {
  EXPECT_EQ(with("n_layer", "3").n_layer, 3);
  EXPECT_EQ(with("seed", "18446744073709551615").seed, 18446744073709551615U);
  EXPECT_EQ(with("learning_rate", "1e-3").learning_rate, 1e-3);
  EXPECT_EQ(with("learning_rate", "1").learning_rate, 1.0);
  EXPECT_TRUE(with("bias", "true").bias);
  EXPECT_FALSE(with("tie_weights", "false").tie_weights);
  EXPECT_EQ(with("sample_prompt", "Nel mezzo").sample_prompt, "Nel mezzo");
  EXPECT_EQ(with("device", "cuda:3").device, "cuda:3");
}

TEST(ConfigValue, BatchSizeIsANumberOrAuto) {
  EXPECT_EQ(with("batch_size", "auto").batch_size, 0);
  EXPECT_THAT(error_of_setting("batch_size", "0"), HasSubstr("auto or a whole number from 1"));
  EXPECT_THAT(error_of_setting("n_layer", "auto"), HasSubstr("n_layer is \"auto\""));
}

TEST(ConfigValue, TakesAliasesAndHyphens) {
  EXPECT_EQ(with("d_model", "64").n_embd, 64);
  EXPECT_EQ(with("hidden-size", "64").n_embd, 64);
  EXPECT_EQ(with("context_length", "64").block_size, 64);
  EXPECT_EQ(with("num_layers", "2").n_layer, 2);
  EXPECT_EQ(with("num_heads", "2").n_head, 2);
  EXPECT_EQ(with("max_steps", "7").max_iters, 7);
  EXPECT_EQ(with("lr", "0.5").learning_rate, 0.5);
  EXPECT_EQ(with("input_file", "a.txt").input, std::vector<std::string>{"a.txt"});
  EXPECT_EQ(with("gradient_checkpointing", "norm").recompute, "norm");
  EXPECT_EQ(with("gradient_checkpointing", "true").recompute, "block");
  EXPECT_EQ(with("recompute", "false").recompute, "none");
}

TEST(ConfigValue, TakesWhatOtherProgramsWrite) {
  EXPECT_EQ(with("dtype", "bf16").dtype, "bfloat16");
  EXPECT_EQ(with("dtype", "BF16").dtype, "bfloat16");
  EXPECT_EQ(with("dtype", "half").dtype, "float16");
  EXPECT_EQ(with("dtype", "fp16").dtype, "float16");
  EXPECT_EQ(with("dtype", "fp32").dtype, "float32");
  EXPECT_EQ(with("dtype", "Float32").dtype, "float32");
  EXPECT_EQ(with("optimizer_state_dtype", "bf16").optimizer_state_dtype, "bfloat16");
  EXPECT_EQ(with("device", "gpu").device, "cuda");
  EXPECT_EQ(with("device", "GPU:1").device, "cuda:1");
  EXPECT_EQ(with("device", "CPU").device, "cpu");
  EXPECT_EQ(with("lr_schedule", "warmup_stable_decay").lr_schedule, "wsd");
  EXPECT_EQ(with("gradient_checkpointing", "True").recompute, "block");
  for (const char* word : {"True", "TRUE", "yes", "on", "1"}) EXPECT_TRUE(with("bias", word).bias) << word;
  for (const char* word : {"False", "no", "off", "0"}) EXPECT_FALSE(with("tie_weights", word).tie_weights) << word;
  EXPECT_EQ(with("max_iters", "1e4").max_iters, 10000);
  EXPECT_EQ(with("max_iters", "10k").max_iters, 10000);
  EXPECT_EQ(with("max_iters", "1.5K").max_iters, 1500);
  EXPECT_EQ(with("total_batch_size", "2M").total_batch_size, 2'000'000);
  EXPECT_EQ(with("max_iters", "1_000_000").max_iters, 1'000'000);
}

TEST(ConfigValue, SaysWhatThereIsInsteadOfAValueThatCannotBeHad) {
  EXPECT_THAT(error_of_setting("dtype", "fp8"), HasSubstr("16 and 32 bits"));
  EXPECT_THAT(error_of_setting("dtype", "int8"), HasSubstr("calc_params"));
  EXPECT_THAT(error_of_setting("device", "mps"), HasSubstr("cpu works"));
  EXPECT_THAT(error_of_setting("device", "0"), HasSubstr("cuda:0"));
  EXPECT_LT(error_of_setting("lr_schedule", std::string(100'000, 'x')).size(), 500U);
}

TEST(ConfigValue, NamesTheNearestKeyWhenUnknown) {
  EXPECT_THAT(error_of_setting("gradient_acumulation_steps", "1"), HasSubstr("did you mean \"grad_accum_steps\"?"));
  EXPECT_THAT(error_of_setting("warmup_ratio", "1"), HasSubstr("--warmup_iters"));

  EXPECT_THAT(error_of_setting("learning_rat", "1"),
              AllOf(HasSubstr("somewhere: unknown key \"learning_rat\""), HasSubstr("did you mean \"learning_rate\"?")));
  EXPECT_THAT(error_of_setting("bacth_size", "1"), HasSubstr("did you mean \"batch_size\"?"));
  const std::string message = error_of_setting("zzzzzzzz", "1");
  EXPECT_THAT(message, AllOf(HasSubstr("unknown key"), ::testing::Not(HasSubstr("did you mean"))));
}

TEST(ConfigValue, RefusesWrongTypes) {
  for (const char* value : {"", "abc", "1.5", "1e-1", "15e-1", "1__0", "_1", "1_", "1k1", "1,000", "+1", " 1", "1 ", "0x10",
                            "99999999999999999999", "true"}) {
    EXPECT_THAT(error_of_setting("n_layer", value), AllOf(HasSubstr("somewhere: n_layer is \"" + std::string(value) + "\""),
                                                          HasSubstr("a whole number from 1 to 1024")));
  }
  for (const char* value : {"", "abc", "nan", "inf", "-inf", "1e999", "1,5", "0.1x"}) {
    EXPECT_THAT(error_of_setting("learning_rate", value), HasSubstr("a number from 0 to 10"));
  }
  for (const char* value : {"", "2", "maybe", "truee"}) {
    EXPECT_THAT(error_of_setting("bias", value), HasSubstr("true or false"));
  }
  EXPECT_THAT(error_of_setting("seed", "-1"), HasSubstr("a whole number from 0 to 2^64 - 1"));
}

TEST(ConfigValue, RefusesValuesOutOfRange) {
  EXPECT_THAT(error_of_setting("n_layer", "0"), HasSubstr("from 1 to 1024"));
  EXPECT_THAT(error_of_setting("n_layer", "1025"), HasSubstr("from 1 to 1024"));
  EXPECT_THAT(error_of_setting("batch_size", "-4"), HasSubstr("from 1 to 65536"));
  EXPECT_THAT(error_of_setting("dropout", "1"), HasSubstr("from 0 to 0.9"));
  EXPECT_THAT(error_of_setting("dropout", "-0.1"), HasSubstr("from 0 to 0.9"));
  EXPECT_THAT(error_of_setting("beta2", "1"), HasSubstr("from 0 to 0.999999"));
  EXPECT_THAT(error_of_setting("eps", "0"), HasSubstr("from 1e-20 to 1"));
}

TEST(ConfigValue, RefusesOtherThanTheChoices) {
  EXPECT_THAT(error_of_setting("lr_schedule", "cosin"),
              AllOf(HasSubstr("one of cosine, linear, constant, wsd"), HasSubstr("did you mean \"cosine\"?")));
  EXPECT_THAT(error_of_setting("dtype", "fp8"), HasSubstr("one of auto, float32, bfloat16, float16"));
  EXPECT_THAT(error_of_setting("recompute", "all"), HasSubstr("one of none, gelu, norm, block"));
  for (const char* device : {"tpu", "mps", "0", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", ""}) {
    EXPECT_THAT(error_of_setting("device", device), HasSubstr("choose auto, cpu, cuda or cuda:N"));
  }
  EXPECT_THAT(error_of_setting("max_memory", "12 bananas"), HasSubstr("12GiB"));
  EXPECT_THAT(error_of_setting("max_memory", "12"), HasSubstr("write 12GB"));
  for (const char* name : {"", ".", "..", "a/b"}) EXPECT_THAT(error_of_setting("model_name", name), HasSubstr("out_dir"));
}

TEST(ConfigValue, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT(error_of_setting("input", "caf\xe9.txt"), HasSubstr("is not UTF-8"));
}

TEST(ParseMemorySize, KnowsBothKindsOfUnits) {
  EXPECT_EQ(parse_memory_size("1500000000"), 1500000000);
  EXPECT_EQ(parse_memory_size("1B"), 1);
  EXPECT_EQ(parse_memory_size("3KB"), 3000);
  EXPECT_EQ(parse_memory_size("3KiB"), 3072);
  EXPECT_EQ(parse_memory_size("500MB"), 500000000);
  EXPECT_EQ(parse_memory_size("512MiB"), 536870912);
  EXPECT_EQ(parse_memory_size("12GB"), 12000000000);
  EXPECT_EQ(parse_memory_size("12GiB"), 12884901888);
  EXPECT_EQ(parse_memory_size("1TB"), 1000000000000);
  EXPECT_EQ(parse_memory_size("1TiB"), 1099511627776);
}

TEST(ParseMemorySize, TakesWhatPeopleType) {
  for (const char* text : {"12G", "12g", "12 GB", "12gb", "12Gb", "12e9", "0.012TB", "12000000000", "1.2e10"}) {
    EXPECT_EQ(parse_memory_size(text), 12'000'000'000) << text;
  }
  EXPECT_EQ(parse_memory_size("1.5GiB"), 1610612736);
  EXPECT_EQ(parse_memory_size("12gib"), 12884901888);
  EXPECT_EQ(parse_memory_size("12Gi"), 12884901888);
  EXPECT_EQ(parse_memory_size("1048576"), 1048576);
}

TEST(ParseMemorySize, RefusesAFewBytesWithoutAUnit) {
  for (const char* text : {"1", "12", "1.5", "8000", "1048575"}) {
    EXPECT_THAT(user_error_of([&] { static_cast<void>(parse_memory_size(text)); }),
                AllOf(HasSubstr("no unit"), HasSubstr("write " + std::string(text) + "GB")))
        << text;
  }
}

TEST(ParseMemorySize, RefusesAnythingElse) {
  for (const char* text : {"", "GB", "0", "0GB", "-1GB", "1GBs", "1 G B", "nan", "inf", "1e999", "0x1GB", "1,5GB", "0.1B"}) {
    EXPECT_THAT(user_error_of([&] { static_cast<void>(parse_memory_size(text)); }), HasSubstr("such as 12GB")) << text;
  }
  EXPECT_THAT(user_error_of([] { static_cast<void>(parse_memory_size("9223372036854775807TB")); }),
              HasSubstr("more memory than can be counted"));
}

TEST(NearestName, CountsInsertionsDeletionsReplacementsAndSwaps) {
  const std::vector<std::string> names = {"cosine", "linear", "constant", "wsd"};
  EXPECT_EQ(nearest_name("cosine", names), "cosine");
  EXPECT_EQ(nearest_name("cosin", names), "cosine");
  EXPECT_EQ(nearest_name("cossine", names), "cosine");
  EXPECT_EQ(nearest_name("linaer", names), "linear");
  EXPECT_EQ(nearest_name("constent", names), "constant");
  EXPECT_EQ(nearest_name("wds", names), "wsd");
}

TEST(NearestName, IsEmptyWhenNothingIsNear) {
  const std::vector<std::string> names = {"cosine", "wsd"};
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(nearest_name("exponential", names), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), names), "");
  EXPECT_EQ(nearest_name("cosine", {}), "");
}

}  // namespace
}  // namespace virgil
