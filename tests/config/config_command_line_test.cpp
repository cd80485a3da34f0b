#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/config/config_schema.h"

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

TEST(CommandLine, TakesFlagsOfOtherPrograms) {
  const CommandLine line = parse({"--gradient_accumulation_steps", "8", "--per_device_train_batch_size=4", "--save_steps",
                                  "100", "--max_grad_norm", "0.5", "--adam-beta2", "0.99", "--bf16", "--no_cuda", "True",
                                  "--lr_scheduler_type", "linear", "--gradient_checkpointing", "--output_dir", "out"});
  EXPECT_EQ(line.config.grad_accum_steps, 8);
  EXPECT_EQ(line.config.batch_size, 4);
  EXPECT_EQ(line.config.save_interval, 100);
  EXPECT_EQ(line.config.grad_clip, 0.5);
  EXPECT_EQ(line.config.beta2, 0.99);
  EXPECT_EQ(line.config.dtype, "bfloat16");
  EXPECT_EQ(line.config.device, "cpu");
  EXPECT_EQ(line.config.lr_schedule, "linear");
  EXPECT_EQ(line.config.recompute, "block");
  EXPECT_EQ(line.config.out_dir, "out");
  EXPECT_THAT(line.set_keys, testing::Contains("grad_accum_steps"));
  EXPECT_THAT(line.notes, ElementsAre());
}

TEST(CommandLine, NotesWhatItTakesWithoutEffect) {
  const CommandLine line =
      parse({"--compile=False", "--wandb_log", "False", "--report_to", "none", "--fp16=False", "--compile"});
  EXPECT_EQ(line.config, TrainConfig{});
  EXPECT_EQ(line.notes.size(), 5U);
  EXPECT_THAT(line.notes.back(), AllOf(HasSubstr("--compile has no effect"), HasSubstr("compiled already")));
  EXPECT_EQ(parse({"--decay_lr=False"}).config.lr_schedule, "constant");
}

TEST(CommandLine, SaysWhatToDoWhereNothingIsEqual) {
  EXPECT_THAT(command_line_error({"--wandb_log=True"}), AllOf(HasSubstr("--wandb_log"), HasSubstr("metrics.jsonl")));
  EXPECT_THAT(command_line_error({"--wandb-project", "owt"}), HasSubstr("metrics.jsonl"));
  EXPECT_THAT(command_line_error({"--warmup_ratio", "0.1"}), HasSubstr("--warmup_iters"));
  EXPECT_THAT(command_line_error({"--resume_from_checkpoint", "x"}), HasSubstr("--resume"));
  EXPECT_THAT(command_line_error({"--compile=maybe"}), HasSubstr("true or false"));
}

TEST(CommandLine, SuggestsOnlyWhatIsNear) {
  EXPECT_THAT(command_line_error({"--safe_steps", "3"}), HasSubstr("did you mean --save_interval?"));
  EXPECT_THAT(command_line_error({"--gradient_acumulation_steps", "3"}), HasSubstr("did you mean --grad_accum_steps?"));
  EXPECT_THAT(command_line_error({"--max_moments", "3"}), ::testing::Not(HasSubstr("did you mean")));
  EXPECT_LT(command_line_error({"--" + std::string(10'000, 'x')}).size(), 400U);
}

TEST(CommandLine, NamesTheLongFlagOfAShortOne) {
  EXPECT_THAT(command_line_error({"-b", "4"}), AllOf(HasSubstr("llm.c's -b"), HasSubstr("--batch_size")));
  EXPECT_THAT(command_line_error({"-batch_size", "4"}), HasSubstr("write --batch_size"));
}

TEST(CommandLine, TakesAWordAfterASwitch) {
  EXPECT_FALSE(parse({"--tie_weights", "False", "--n_layer", "3"}).config.tie_weights);
  EXPECT_TRUE(parse({"--bias", "yes"}).config.bias);
}

TEST(CommandLine, TakesAFileAsInputAndAPresetAsConfig) {
  const test_support::TemporaryDirectory directory;
  const std::string book = directory.path() / "book.txt";
  const std::string config = directory.path() / "a.json";
  test_support::write_all(book, "Nel mezzo");
  test_support::write_all(config, R"({"n_layer": 3})");
  EXPECT_THAT(parse({book, "--n_layer", "2"}).config.input, ElementsAre(book));
  EXPECT_THAT(parse({book, book}).config.input, ElementsAre(book, book));
  EXPECT_EQ(parse({config, book}).config.n_layer, 3);
  EXPECT_EQ(parse({"--config", (directory.path() / "a").string()}).config.n_layer, 3);
  EXPECT_EQ(parse({"--config", "150M_1024"}).config.block_size, 1024);
  EXPECT_EQ(parse({"--config", "configs/150M_1024"}).config.n_layer, parse({"150M_1024.json"}).config.n_layer);
  EXPECT_EQ(parse({"tiny", book}).config.n_layer, 6);
  EXPECT_THAT(command_line_error({"--input", book, "--n_layer", "2", book}), HasSubstr("unexpected argument"));
  EXPECT_THAT(command_line_error({"--config", "150M_1042"}), AllOf(HasSubstr("did you mean 150M_1024?"), HasSubstr("tiny")));
  EXPECT_THAT(command_line_error({"config/train_shakespeare_char.py"}), HasSubstr("Python configs are not read"));
}

TEST(CommandLine, LeavesOtherWordsToTheirPrograms) {
  const std::vector<std::string> arguments = {"gpt2-xl", "--n_layer", "3"};
  EXPECT_THAT(parse_train_command_line(arguments, "calc_params", WordsMean::kOther).words, ElementsAre("gpt2-xl"));
  const std::vector<std::string> unknown = {"--n_layr", "3"};
  EXPECT_THAT(user_error_of([&] { static_cast<void>(parse_train_command_line(unknown, "calc_params", WordsMean::kOther)); }),
              HasSubstr("calc_params --help"));
}

TEST(CommandLine, CountsEpochsOrSteps) {
  const test_support::TemporaryDirectory directory;
  const std::string path = directory.path() / "a.json";
  test_support::write_all(path, R"({"max_iters": 70, "epochs": 2})");
  EXPECT_EQ(parse({"--epochs", "1.5"}).config.epochs, 1.5);
  EXPECT_EQ(parse({"--num_train_epochs", "3"}).config.epochs, 3);
  EXPECT_EQ(parse({"--config", path}).config.epochs, 2) << "epochs counts before max_iters";
  EXPECT_EQ(parse({"--config", path, "--max_iters", "9"}).config.epochs, 0) << "a flag counts before a file";
  EXPECT_THAT(command_line_error({"--epochs", "3", "--max_iters", "9"}), HasSubstr("give one of the two"));
}

TEST(CommandLine, KnowsWhatAFileSets) {
  const test_support::TemporaryDirectory directory;
  const std::string path = directory.path() / "a.json";
  test_support::write_all(path, R"({"lr": 0.01, "n_layer": 3})");
  EXPECT_THAT(parse({"--config", path}).file_keys, testing::UnorderedElementsAre("learning_rate", "n_layer"));
}

TEST(CommandLine, NamesTheFileOfABadConfig) {
  EXPECT_THAT(command_line_error({"--config", "missing.json"}), AllOf(HasSubstr("missing.json"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace virgil
