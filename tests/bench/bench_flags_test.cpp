#include "bench/bench_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "support/user_error.h"

namespace virgil::bench {
namespace {

using test_support::user_error_of;
using testing::HasSubstr;

BenchMode mode_of(const std::vector<std::string>& words) {
  const std::vector<ToolFlag> flags = bench_flags();
  return choose_mode(parse_program_line(words, {.program = "bench", .own = flags}).own);
}

TEST(BenchFlags, AskForAStepWhereNoneAsksForMore) {
  EXPECT_EQ(mode_of({}), BenchMode::kStep);
  EXPECT_EQ(mode_of({"--json", "--ops", "--steps", "3", "--compare_torch", "--python", "python"}), BenchMode::kStep);
  EXPECT_EQ(mode_of({"--generate", "--json", "--contexts", "8", "--batches", "1,2", "--rounds", "2"}), BenchMode::kGenerate);
  EXPECT_EQ(mode_of({"--tokenizers", "--compare_tiktoken", "--python", "python"}), BenchMode::kTokenizers);
  EXPECT_EQ(mode_of({"--scaling", "--gpu", "A100", "--json"}), BenchMode::kScaling);
  EXPECT_EQ(mode_of({"--generate", "--no_generate", "--steps", "3"}), BenchMode::kStep);
}

TEST(BenchFlags, OfAnotherModeAreRefusedWithItsName) {
  for (const std::string flag : {"contexts", "batches", "rounds"}) {
    const std::string message = user_error_of([&] { static_cast<void>(mode_of({"--" + flag, "1"})); });
    EXPECT_THAT(message, HasSubstr("--" + flag + " belongs to --generate; give both, or leave it out"));
  }
  for (const std::string flag : {"steps", "python", "torch_script"}) {
    const std::string message = user_error_of([&] { static_cast<void>(mode_of({"--generate", "--" + flag, "1"})); });
    EXPECT_THAT(message, HasSubstr("--" + flag + " belongs to the timing of a training step, not to --generate"));
  }
  for (const std::string flag : {"ops", "compare_torch", "compare_cudnn"}) {
    EXPECT_THAT(user_error_of([&] { static_cast<void>(mode_of({"--" + flag, "--generate"})); }), HasSubstr("--" + flag));
  }
  EXPECT_THAT(user_error_of([&] {
                static_cast<void>(mode_of({"--tokenizers", "--contexts", "8"}));
              }),
              HasSubstr("--contexts belongs to --generate, not to --tokenizers; give one of the two"));
  EXPECT_THAT(user_error_of([&] {
                static_cast<void>(mode_of({"--generate", "--gpu", "A100"}));
              }),
              HasSubstr("--gpu belongs to --scaling, not to --generate"));
}

TEST(BenchFlags, OfTwoModesAreRefused) {
  EXPECT_THAT(user_error_of([&] {
                static_cast<void>(mode_of({"--tokenizers", "--generate"}));
              }),
              HasSubstr("--generate and --tokenizers ask for different measurements; give one of the two"));
  EXPECT_THAT(user_error_of([&] { static_cast<void>(mode_of({"--scaling", "--generate"})); }), HasSubstr("--scaling"));
}

TEST(BenchFlags, StandOnceInTheHelp) {
  std::multiset<std::string> names;
  for (const ToolFlag& flag : bench_flags()) names.insert(flag.name);
  for (const std::string& name : names) EXPECT_EQ(names.count(name), 1U) << name;
}

}  // namespace
}  // namespace virgil::bench
