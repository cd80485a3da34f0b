#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command/calc_params_support.h"

namespace virgil {
namespace {

using test_support::calc;
using test_support::error_of;
using test_support::json_of;
using test_support::preset;
using test_support::Result;
using test_support::small_with;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CalcParamsProcesses, PlansEachOfSeveralProcesses) {
  const nlohmann::json alone = json_of(small_with({"--dtype", "float32"})).at("plan");
  EXPECT_EQ(alone.at("processes"), 1);
  EXPECT_FALSE(alone.contains("communication"));
  const nlohmann::json plan = json_of(small_with({"--dtype", "float32", "--processes", "4", "--zero_stage", "1"})).at("plan");
  EXPECT_EQ(plan.at("processes"), 4);
  const nlohmann::json& communication = plan.at("communication");
  // 512 rows and 64 positions of 64, two layers of 12 * 64^2, five norms of 64 padded to 512; three quarters are sent.
  constexpr std::int64_t kSent = ((512 + 64) * 64 + 2 * 12 * 64 * 64 + 512) / 4 * 3;
  EXPECT_EQ(communication.at("zero_stage"), 1);
  EXPECT_EQ(communication.at("grad_reduce_dtype"), "float32");
  EXPECT_EQ(communication.at("gradient_bytes"), 4 * kSent);
  EXPECT_EQ(communication.at("weight_bytes"), 4 * kSent);
  EXPECT_EQ(communication.at("total_bytes"), 8 * kSent);
  EXPECT_EQ(communication.at("tokens_per_step"), 4 * 4 * 64);
  EXPECT_EQ(communication.at("staging_bytes"), 16 << 20);
  EXPECT_LT(plan.at("by_category").at("optimizer"), alone.at("by_category").at("optimizer"));
  const std::string text = calc(small_with({"--dtype", "float32", "--processes", "4", "--zero_stage", "1"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("Training memory of each of 4 processes"), HasSubstr("Communication of each of 4"),
                          HasSubstr("in a step of 1,024 tokens"), HasSubstr("after the update")));
}

TEST(CalcParamsProcesses, BatchesAreOfAllProcesses) {
  const nlohmann::json plan = json_of(small_with({"--processes", "4", "--total_batch_size", "4096"})).at("plan");
  EXPECT_EQ(plan.at("grad_accum_steps"), 4);
  EXPECT_EQ(plan.at("communication").at("tokens_per_step"), 4096);
  // Two sequences for each: fewer than the batch_size of four.
  EXPECT_EQ(json_of(small_with({"--processes", "4", "--total_batch_size", "512"})).at("plan").at("batch_size"), 2);
  EXPECT_THAT(error_of(small_with({"--processes", "4", "--total_batch_size", "320"})),
              HasSubstr("which 4 processes cannot share in whole sequences of block_size = 64; set it to 512"));
  EXPECT_THAT(error_of(small_with({"--processes=2", "--zero_stage=2", "--grad_reduce_dtype=bfloat16", "--grad_accum_steps=2"})),
              HasSubstr("grad_reduce_dtype is bfloat16 with zero_stage 2"));
}

TEST(CalcParamsProcesses, RemediesOfSeveralProcessesAreCommandsOfAll) {
  const std::vector<std::string> flags = {"--processes", "4", "--dtype", "bfloat16"};
  const std::int64_t bytes = json_of(small_with(flags)).at("plan").at("total_bytes");
  std::vector<std::string> asked = small_with(flags);
  asked.push_back("--fits=" + std::to_string(bytes - 200000));
  const Result result = calc(asked);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.text, AllOf(HasSubstr("of each of 4 processes"), HasSubstr("--zero_stage 1"), HasSubstr("--zero_stage 2"),
                                 HasSubstr("mpirun -n 4 train ")));
  const Result solved = calc(small_with({"--processes", "4", "--solve", "batch_size", "--fits", "1GB"}));
  EXPECT_THAT(solved.text, HasSubstr("mpirun -n 4 train "));
}

TEST(CalcParamsProcesses, ComparesWhatEachOfSeveralProcessesHolds) {
  const std::vector<std::string> keys = {"--processes", "4", "--zero_stage", "1", "--batch_size", "2", "--dtype", "bfloat16"};
  const auto with_keys = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), keys.begin(), keys.end());
    return arguments;
  };
  const nlohmann::json compared = json_of(with_keys({"--compare", "gpt2", "gpt2-medium"}));
  const nlohmann::json plan_a = json_of(with_keys({"--model", "gpt2"})).at("plan");
  const nlohmann::json plan_b = json_of(with_keys({"--model", "gpt2-medium"})).at("plan");
  EXPECT_EQ(compared.at("a").at("plan"), plan_a);
  EXPECT_EQ(compared.at("b").at("plan"), plan_b);
  EXPECT_EQ(plan_a.at("communication").at("zero_stage"), 1);
  EXPECT_EQ(compared.at("difference").at("plan_bytes"),
            plan_b.at("total_bytes").get<std::int64_t>() - plan_a.at("total_bytes").get<std::int64_t>());
  // 4 x 2 sequences of the default context in one micro-step.
  const std::int64_t tokens = plan_a.at("communication").at("tokens_per_step");
  EXPECT_EQ(tokens, 8 * 1024);
  const std::string text = calc(with_keys({"--compare", "gpt2", "gpt2-medium"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("of each of 4 processes"), HasSubstr("ZeRO stage"), HasSubstr("8,192"),
                          HasSubstr("gradients sent a step"), HasSubstr("weights sent a step")));
  EXPECT_THAT(calc({"--compare", "gpt2", "gpt2-medium"}).text, AllOf(Not(HasSubstr("processes")), Not(HasSubstr("sent"))));
}

TEST(CalcParamsProcesses, KeysComeOverBothOfWhatIsCompared) {
  const nlohmann::json compared =
      json_of({"--compare", "gpt2", preset("150M_1024"), "--n_layer", "3", "--batch_size", "1", "--total_batch_size", "1024"});
  for (const char* side : {"a", "b"}) {
    EXPECT_EQ(compared.at(side).at("architecture").at("n_layer"), 3) << side;
    EXPECT_EQ(compared.at(side).at("plan").at("batch_size"), 1) << side;
  }
  EXPECT_THAT(
      error_of({"--compare", "gpt2", "gpt2-xl", "--config", preset("tiny")}),
      AllOf(HasSubstr("--compare takes gpt2 and gpt2-xl"), HasSubstr("tiny.json is a third"), HasSubstr("one of the two")));
}

TEST(CalcParamsProcesses, ProcessesThatCannotBeAreRefused) {
  EXPECT_THAT(error_of(small_with({"--processes", "0"})), HasSubstr("at least 1"));
  EXPECT_THAT(error_of(small_with({"--processes", "65537"})), HasSubstr("at most 65536"));
  EXPECT_THAT(error_of(small_with({"--processes", "99999999999999999999"})),
              HasSubstr("99999999999999999999\", which is out of"));
  EXPECT_THAT(error_of(small_with({"--processes", "2", "--verify"})), AllOf(HasSubstr("--verify"), HasSubstr("mpirun -n 2")));
  EXPECT_THAT(error_of({"--processes", "2", "--run", "runs/x"}), HasSubstr("--run"));
  EXPECT_EQ(json_of(small_with({"--processes", "65536"})).at("plan").at("processes"), 65536);
}

}  // namespace
}  // namespace virgil
