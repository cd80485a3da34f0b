#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/train/config_schema.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CommandLine parse(const std::vector<std::string>& arguments) { return parse_train_command_line(arguments); }

std::string command_line_error(const std::vector<std::string>& arguments) {
  return user_error_of([&] { static_cast<void>(parse(arguments)); });
}

TEST(CommandLine, IsTheDefaultsWithoutArguments) {
  const CommandLine line = parse({});
  EXPECT_EQ(line.config, TrainConfig{});
  EXPECT_FALSE(line.help);
  EXPECT_TRUE(line.set_keys.empty());
}

TEST(CommandLine, TakesValuesInBothSpellings) {
  const CommandLine line = parse({"--n_layer", "3", "--n-embd=64", "--lr", "1e-3", "--sample_prompt=--x=y", "--d-model=96"});
  EXPECT_EQ(line.config.n_layer, 3);
  EXPECT_EQ(line.config.n_embd, 96) << "the last one counts";
  EXPECT_EQ(line.config.learning_rate, 1e-3);
  EXPECT_EQ(line.config.sample_prompt, "--x=y");
  EXPECT_THAT(line.set_keys, ElementsAre("n_layer", "n_embd", "learning_rate", "sample_prompt"));
}

TEST(CommandLine, TakesSwitches) {
  EXPECT_TRUE(parse({"--bias"}).config.bias);
  EXPECT_TRUE(parse({"--bias=true"}).config.bias);
  EXPECT_FALSE(parse({"--no_tie_weights"}).config.tie_weights);
  EXPECT_FALSE(parse({"--no-tie-weights"}).config.tie_weights);
  EXPECT_FALSE(parse({"--tie_weights=false"}).config.tie_weights);
  const CommandLine line = parse({"--tie_weights", "false", "--bias", "--n_layer", "3", "--dry-run"});
  EXPECT_FALSE(line.config.tie_weights);
  EXPECT_TRUE(line.config.bias);
  EXPECT_EQ(line.config.n_layer, 3);
  EXPECT_TRUE(line.config.dry_run);
}

TEST(CommandLine, TakesSeveralInputsUpToTheNextFlag) {
  const CommandLine line = parse({"--input", "a.txt", "b.txt", "c d.txt", "--n_layer", "3", "--val-input=v.txt"});
  EXPECT_THAT(line.config.input, ElementsAre("a.txt", "b.txt", "c d.txt"));
  EXPECT_THAT(line.config.val_input, ElementsAre("v.txt"));
  EXPECT_EQ(line.config.n_layer, 3);
  EXPECT_THAT(line.set_keys, ElementsAre("input", "n_layer", "val_input"));
  EXPECT_THAT(parse({"--input", "a", "b", "--input_file", "c"}).config.input, ElementsAre("c")) << "the last one counts";
  EXPECT_THAT(parse({"--input=--odd"}).config.input, ElementsAre("--odd"));
  EXPECT_THAT(parse({"--input", "a", "--input="}).config.input, ElementsAre());
  EXPECT_THAT(command_line_error({"--input"}), HasSubstr("its value is missing"));
  EXPECT_THAT(command_line_error({"--input", "a", ""}), HasSubstr("one of the 2 values of input is empty"));
  EXPECT_THAT(command_line_error({"--input", "a", "b\xFF"}), HasSubstr("not UTF-8"));
  EXPECT_THAT(command_line_error({"--input=a", "b"}), HasSubstr("unexpected argument \"b\""));
}

TEST(CommandLine, AppliesTheFileFirstWhereverItStands) {
  const test_support::TemporaryDirectory directory;
  const std::string path = directory.path() / "a.json";
  test_support::write_all(path, R"({"n_layer": 3, "n_head": 4})");
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--config", path, "--n_layer", "5"},
                                                                     {"--n_layer=5", "--config_file=" + path},
                                                                     {"--config=none.json", "--n_layer=5", "--config", path}}) {
    const CommandLine line = parse(arguments);
    EXPECT_EQ(line.config.n_layer, 5);
    EXPECT_EQ(line.config.n_head, 4);
    EXPECT_EQ(line.config_file, path);
    EXPECT_THAT(line.set_keys, ElementsAre("n_layer"));
  }
}

TEST(CommandLine, ReadsNothingElseWhenHelpIsAsked) {
  EXPECT_TRUE(parse({"--help"}).help);
  EXPECT_TRUE(parse({"--nonsense", "-h"}).help);
}

TEST(CommandLine, NamesTheNearestFlagWhenUnknown) {
  EXPECT_THAT(command_line_error({"--n_layr", "3"}),
              AllOf(HasSubstr("--n_layr: unknown flag"), HasSubstr("did you mean --n_layer?")));
  EXPECT_THAT(command_line_error({"--confg", "a.json"}), HasSubstr("did you mean --config?"));
  EXPECT_THAT(command_line_error({"--no_biass"}), HasSubstr("did you mean --no_bias?"));
  EXPECT_THAT(command_line_error({"--no_n_layer"}), HasSubstr("unknown flag"));
  EXPECT_THAT(command_line_error({"--zzzzzzzzzz"}), HasSubstr("train --help"));
}

TEST(CommandLine, RefusesMissingAndStrayValues) {
  EXPECT_THAT(command_line_error({"--n_layer"}), HasSubstr("--n_layer: its value is missing"));
  EXPECT_THAT(command_line_error({"--n_layer", "--n_head", "3"}), HasSubstr("--n_layer: its value is missing"));
  EXPECT_THAT(command_line_error({"--config"}), HasSubstr("--config: its value is missing"));
  EXPECT_THAT(command_line_error({"--config="}), HasSubstr("the name of a config file is missing"));
  EXPECT_THAT(command_line_error({"book.txt"}), HasSubstr("unexpected argument \"book.txt\""));
  EXPECT_THAT(command_line_error({"-x"}), HasSubstr("unexpected argument \"-x\""));
  EXPECT_THAT(command_line_error({"--"}), HasSubstr("unexpected argument \"--\""));
  EXPECT_THAT(command_line_error({"--no_bias=true"}), HasSubstr("write --bias=true"));
}

TEST(CommandLine, NamesTheFlagOfABadValue) {
  EXPECT_THAT(command_line_error({"--lr", "fast"}),
              AllOf(HasSubstr("--lr: "), HasSubstr("\"fast\""), HasSubstr("a number from 0 to 10")));
  EXPECT_THAT(command_line_error({"--eval_interval", "-1"}), HasSubstr("\"-1\""));
  EXPECT_THAT(command_line_error({"--bias=maybe"}), HasSubstr("true or false"));
}

TEST(CommandLine, NamesTheFileOfABadConfig) {
  EXPECT_THAT(command_line_error({"--config", "missing.json"}), AllOf(HasSubstr("missing.json"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace virgil
