#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string error_of_json(std::string_view json) {
  TrainConfig config;
  std::string message = user_error_of([&] { apply_config_json(config, json, "a.json"); });
  EXPECT_EQ(config, TrainConfig{}) << "a refused file changed the config";
  EXPECT_THAT(message, HasSubstr("a.json: "));
  return message;
}

TEST(ConfigJson, AppliesItsKeysOverTheConfig) {
  TrainConfig config;
  config.n_head = 5;
  apply_config_json(config, R"({"n_layer": 3, "lr": 1e-3, "bias": true, "input": "caffè.txt", "gradient_checkpointing": true,
                               "min_lr": 0, "seed": 18446744073709551615})",
                    "a.json");
  TrainConfig expected;
  expected.n_head = 5;
  expected.n_layer = 3;
  expected.learning_rate = 1e-3;
  expected.bias = true;
  expected.input = {"caffè.txt"};
  expected.recompute = "block";
  expected.min_lr = 0;
  expected.seed = 18446744073709551615U;
  EXPECT_EQ(config, expected);
}

TEST(ConfigJson, AnAutomaticBatchIsAWordBothWays) {
  TrainConfig config;
  apply_config_json(config, R"({"batch_size": "auto"})", "a.json");
  EXPECT_EQ(config.batch_size, 0);
  EXPECT_THAT(config_to_json(config), HasSubstr("\"batch_size\": \"auto\""));
  TrainConfig read_back;
  apply_config_json(read_back, config_to_json(config), "b.json");
  EXPECT_EQ(read_back, config);
  EXPECT_THAT(error_of_json(R"({"batch_size": "12"})"), HasSubstr("leave the quotes out"));
}

TEST(ConfigJson, InputsAreOneStringOrAList) {
  TrainConfig config;
  apply_config_json(config, R"({"input": ["a.txt", "b.txt"], "val_input": "v.txt", "n_layer": 3})", "a.json");
  EXPECT_EQ(config.input, (std::vector<std::string>{"a.txt", "b.txt"}));
  EXPECT_EQ(config.val_input, std::vector<std::string>{"v.txt"});
  EXPECT_EQ(config.n_layer, 3);
  EXPECT_THAT(config_to_json(config), HasSubstr("\"val_input\": \"v.txt\""));
  apply_config_json(config, R"({"input": [], "val_input": ""})", "a.json");
  EXPECT_TRUE(config.input.empty() && config.val_input.empty());
  EXPECT_THAT(error_of_json(R"({"input": 3})"), HasSubstr("a string or list of strings"));
  EXPECT_THAT(error_of_json(R"({"input": ["a", 3]})"), HasSubstr("a string or list of strings"));
  EXPECT_THAT(error_of_json(R"({"input": ["a", ["b"]]})"), HasSubstr("a list in a list"));
  EXPECT_THAT(error_of_json(R"({"input": [{"a": 1}]})"), HasSubstr("is an object"));
  EXPECT_THAT(error_of_json(R"({"input": ["a", ""]})"), HasSubstr("is empty"));
  EXPECT_THAT(error_of_json(R"({"inptu": ["a"]})"), HasSubstr("did you mean \"input\"?"));
}

TEST(ConfigJson, ReportsWhereItIsNotJson) {
  EXPECT_THAT(error_of_json("{\n\"n_layer\": 3,\n}"), AllOf(HasSubstr("not valid JSON"), HasSubstr("line 3")));
  EXPECT_THAT(error_of_json(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of_json("{\"n_layer\": 3"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of_json("{\"n_layer\": 3} {}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of_json("// comment\n{}"), AllOf(HasSubstr("not valid JSON"), HasSubstr("a comment")));
  EXPECT_THAT(error_of_json("{ // comment\n}"), HasSubstr("a comment, which JSON does not have"));
  EXPECT_THAT(error_of_json("# batch_size = 12\nbatch_size = 12"), HasSubstr("Python"));
  EXPECT_THAT(error_of_json("{\"n_layer\": 3,}"), HasSubstr("a comma before the closing brace"));
  EXPECT_THAT(error_of_json("{'n_layer': 3}"), HasSubstr("double quotes"));
  EXPECT_THAT(error_of_json("{\"bias\": True}"), HasSubstr("small letters"));
  EXPECT_THAT(error_of_json(R"({"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"]})"),
              AllOf(HasSubstr("Hugging Face"), HasSubstr("--init_from"), HasSubstr("calc_params --hf")));
  EXPECT_THAT(error_of_json("{\"input\": \"caf\xe9\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of_json("[1]"), HasSubstr("one JSON object"));
  EXPECT_THAT(error_of_json("3"), HasSubstr("one JSON object"));
}

TEST(ConfigJson, RefusesUnknownKeysNestingAndLists) {
  EXPECT_THAT(error_of_json(R"({"n_layr": 3})"), HasSubstr("did you mean \"n_layer\"?"));
  EXPECT_THAT(error_of_json(R"({"model": {"n_layer": 3}})"), HasSubstr("\"model\" is an object"));
  EXPECT_THAT(error_of_json(R"({"n_layer": [3]})"), HasSubstr("\"n_layer\" is a list"));
  EXPECT_THAT(error_of_json(std::string(100000, '[')), HasSubstr("one JSON object"));
}

TEST(ConfigJson, RefusesDuplicates) {
  EXPECT_THAT(error_of_json(R"({"n_layer": 3, "n_layer": 4})"), HasSubstr("\"n_layer\" is given twice"));
  EXPECT_THAT(error_of_json(R"({"n_embd": 64, "d_model": 64})"), HasSubstr("\"n_embd\" and \"d_model\" are the same key"));
}

TEST(ConfigJson, RefusesWrongTypes) {
  EXPECT_THAT(error_of_json(R"({"n_layer": "3"})"), AllOf(HasSubstr("the string \"3\""), HasSubstr("leave the quotes out")));
  EXPECT_THAT(error_of_json(R"({"n_layer": 3.5})"), HasSubstr("a whole number from 1 to 1024"));
  EXPECT_THAT(error_of_json(R"({"n_layer": null})"), HasSubstr("is null"));
  EXPECT_THAT(error_of_json(R"({"n_layer": true})"), HasSubstr("\"n_layer\" is true"));
  EXPECT_THAT(error_of_json(R"({"bias": 1})"), HasSubstr("\"bias\" is 1, but takes true or false"));
  EXPECT_THAT(error_of_json(R"({"bias": "true"})"), HasSubstr("leave the quotes out"));
  EXPECT_THAT(error_of_json(R"({"max_memory": 12000000000})"), HasSubstr("put it in quotes"));
  EXPECT_THAT(error_of_json(R"({"out_dir": "runs\u0000x"})"), HasSubstr("holds a NUL"));
  EXPECT_THAT(error_of_json(R"({"input": ["a.txt", "b\u0000.txt"]})"), HasSubstr("holds a NUL"));
  EXPECT_THAT(error_of_json(R"({"input": true})"), HasSubstr("put it in quotes"));
  EXPECT_THAT(error_of_json(R"({"n_layer": 100000000000000000000})"), HasSubstr("from 1 to 1024"));
  EXPECT_THAT(error_of_json(R"({"learning_rate": 1e999})"), HasSubstr("a.json: "));
}

TEST(ConfigJson, RefusesKeysOfOneInvocation) {
  EXPECT_THAT(error_of_json(R"({"resume": true})"), HasSubstr("give it as the flag --resume"));
  EXPECT_THAT(error_of_json(R"({"dry_run": true})"), HasSubstr("--dry_run"));
}

TEST(ConfigJson, RoundTripsEveryKey) {
  TrainConfig config;
  std::int64_t n = 1;
  for (const ConfigKey& key : config_keys()) {
    std::visit(
        [&](auto member) {
          using Value = std::remove_reference_t<decltype(config.*member)>;
          if constexpr (std::is_same_v<Value, bool>) {
            config.*member = key.saved && !(config.*member);
          } else if constexpr (std::is_same_v<Value, std::string>) {
            if (!key.choices.empty()) config.*member = key.choices.back();
          } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
            config.*member = {key.name + ".txt"};
          } else if constexpr (std::is_same_v<Value, double>) {
            config.*member = 0.1 + 0.01 * static_cast<double>(n++);  // not a short decimal
          } else {
            const std::int64_t value = 100 + n++;
            const bool fits = key.min == key.max || static_cast<double>(value) <= key.max;
            config.*member = static_cast<Value>(fits ? value : static_cast<std::int64_t>(key.max));
          }
        },
        key.member);
  }
  config.param_groups = {"*.mlp.* lr_factor=0.5", "*.wte.weight decay_factor=0"};
  config.input = {"a \"quoted\"\n name \\ é.txt", "b.txt"};
  config.max_memory = "3GiB";
  config.device = "cuda:1";
  config.seed = 18446744073709551615U;
  config.eps = 4.9406564584124654e-18;
  config.rope_theta = 12345.678901234567;

  TrainConfig restored;
  apply_config_json(restored, config_to_json(config), "round trip");
  EXPECT_EQ(restored, config);
  EXPECT_EQ(config_to_json(restored), config_to_json(config));
}

TEST(ConfigJson, LeavesOutKeysOfOneInvocation) {
  TrainConfig config;
  config.resume = true;
  EXPECT_EQ(config_to_json(config), config_to_json(TrainConfig{}));
}

TEST(ConfigFile, NamesMissingAndUnreadableFiles) {
  const test_support::TemporaryDirectory directory;
  TrainConfig config;
  EXPECT_THAT(user_error_of([&] { apply_config_file(config, directory.path() / "no.json"); }),
              AllOf(HasSubstr("no.json"), HasSubstr("No such file"), HasSubstr("check the path")));
  EXPECT_THAT(user_error_of([&] { apply_config_file(config, directory.path()); }), HasSubstr("is a folder"));
  test_support::write_all(directory.path() / "bad.json", "{\"n_layer\": 0}");
  EXPECT_THAT(user_error_of([&] { apply_config_file(config, directory.path() / "bad.json"); }),
              AllOf(HasSubstr((directory.path() / "bad.json").string()), HasSubstr("n_layer is \"0\"")));
}

}  // namespace
}  // namespace virgil
