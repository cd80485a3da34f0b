#include "virgil/command/sweep_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/logging.h"

namespace virgil {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using Words = std::vector<std::string>;

std::vector<std::string> names(const Words& words) {
  std::vector<std::string> names;
  for (const SweepRun& run : runs_of_sweep(parse_sweep(words))) names.push_back(run.name);
  return names;
}

std::string refusal(const Words& words) {
  try {
    (void)runs_of_sweep(parse_sweep(words));
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Sweep, IsEachValueWithEach) {
  EXPECT_THAT(names({"--learning_rate", "1e-3,3e-3", "--n_layer=4,6"}),
              ElementsAre("learning_rate=1e-3,n_layer=4", "learning_rate=1e-3,n_layer=6", "learning_rate=3e-3,n_layer=4",
                          "learning_rate=3e-3,n_layer=6"));
}

TEST(Sweep, RunsWithoutAModelGetOnePreset) {
  RecordingLogger log;
  std::vector<SweepRun> runs =
      runs_of_sweep(parse_sweep(Words{"--input=no-such-book.txt", "--lr", "1e-3,3e-3", "--device=cpu", "--threads=1"}));
  settle_presets(runs, log);
  EXPECT_THAT(log.lines(), ElementsAre(HasSubstr("the preset tiny")));
  for (const SweepRun& run : runs) EXPECT_THAT(run.arguments.back(), EndsWith("tiny.json"));
  runs = runs_of_sweep(parse_sweep(Words{"--input=no-such-book.txt", "--n_layer", "4,6"}));
  const std::vector<std::string> before = runs.front().arguments;
  settle_presets(runs, log);
  EXPECT_EQ(runs.front().arguments, before);
}

TEST(Sweep, ZippedIsTheValuesSideBySide) {
  EXPECT_THAT(names({"--lr", "1e-3,3e-3", "--zip", "--seed", "1,2"}),
              ElementsAre("learning_rate=1e-3,seed=1", "learning_rate=3e-3,seed=2"));
  EXPECT_THAT(refusal({"--lr", "1e-3,3e-3", "--zip", "--seed", "1,2,3"}), HasSubstr("learning_rate has 2, and seed has 3"));
}

TEST(Sweep, RunsAreTrainsCommandsInFoldersOfTheirOwn) {
  const std::vector<SweepRun> runs = runs_of_sweep(
      parse_sweep(Words{"--dtype", "float32,bfloat16", "--out_dir", "elsewhere", "--sweep_name=types", "--jobs", "2"}));
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_EQ(runs[1].folder, std::filesystem::path("elsewhere/types/dtype=bfloat16"));
  EXPECT_THAT(runs[1].arguments, Contains("--dtype=bfloat16"));
  EXPECT_THAT(runs[1].arguments, Contains("--out_dir=elsewhere/types"));
  EXPECT_THAT(runs[1].arguments, Contains("--model_name=dtype=bfloat16"));
  EXPECT_THAT(runs[1].arguments, Not(Contains(HasSubstr("jobs"))));
}

TEST(Sweep, ACommaInATextIsNoList) {
  EXPECT_THAT(parse_sweep(Words{"--sample_prompt", "Nel mezzo, poi", "--seed", "1,2"}).keys, SizeIs(1));
  EXPECT_THAT(parse_sweep(Words{"--input", "a,b.txt"}).keys, IsEmpty());
}

TEST(Sweep, RefusesBeforeAnythingRuns) {
  EXPECT_THAT(refusal({"--n_layer", "4"}), HasSubstr("no key has several values"));
  EXPECT_THAT(refusal({"--n_layer", "4,four"}), HasSubstr("n_layer"));
  EXPECT_THAT(refusal({"--n_layer", "4,,6"}), HasSubstr("is empty"));
  EXPECT_THAT(refusal({"--n_layer", "4,4"}), HasSubstr("list each value once"));
  EXPECT_THAT(refusal({"--n_embd", "64,65", "--n_head", "2"}), HasSubstr("n_embd"));
  EXPECT_THAT(refusal({"--n_lyer", "4,6"}), HasSubstr("n_layer"));
  EXPECT_THAT(refusal({"--n_layer", "4,6", "--model_name", "mine"}), HasSubstr("names its runs itself"));
  EXPECT_THAT(refusal({"--n_layer", "4,6", "--resume"}), HasSubstr("leave it out"));
  EXPECT_THAT(refusal({"--n_layer", "4,6", "--jobs", "0"}), HasSubstr("--jobs"));
  EXPECT_THAT(refusal({"--n_layer", "4,6", "--sweep_name", "../x"}), HasSubstr("--sweep_name"));
  std::string many = "1";
  for (int i = 2; i <= 1001; ++i) many += "," + std::to_string(i);
  EXPECT_THAT(refusal({"--seed", many}), HasSubstr("more than 1000 runs"));
}

}  // namespace
}  // namespace virgil
