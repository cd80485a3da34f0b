#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "command/calc_params_support.h"
#include "virgil/base/logging.h"

namespace virgil {
namespace {

using test_support::calc;
using test_support::error_of;
using test_support::json_of;
using test_support::kSmall;
using test_support::preset;
using test_support::Result;
using test_support::small_with;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CalcParamsFits, FitsAnswersWithItsExitCode) {
  const std::int64_t bytes = json_of(kSmall).at("plan").at("total_bytes");
  const Result yes = calc(small_with({"--fits", std::to_string(2 * bytes)}));
  EXPECT_EQ(yes.code, 0);
  EXPECT_THAT(yes.text, HasSubstr("? yes:"));
  const Result tight = calc(small_with({"--fits=" + std::to_string(bytes)}));
  EXPECT_EQ(tight.code, 0);
  EXPECT_THAT(tight.text, HasSubstr("? tight:"));
  const Result no = calc(small_with({"--fits", std::to_string(bytes - 1)}));
  EXPECT_EQ(no.code, 1);
  EXPECT_THAT(no.text, AllOf(HasSubstr("? no:"), HasSubstr("fits"), HasSubstr("saves"), HasSubstr("train --n_layer=2"),
                             HasSubstr("--batch_size"), HasSubstr("--grad_accum_steps")));
  EXPECT_EQ(calc(small_with({"--fits", std::to_string(bytes - 1), "--json"})).code, 1);
  EXPECT_EQ(calc(small_with({"--fits"})).code, 0) << "this machine's free memory";
}

TEST(CalcParamsFits, TheCommandOfARemedyFits) {
  const std::int64_t bytes = json_of(kSmall).at("plan").at("total_bytes");
  const std::string limit = std::to_string(bytes * 3 / 4);
  const std::string text = calc(small_with({"--fits", limit})).text;
  const std::size_t at = text.rfind("train ");
  ASSERT_NE(at, std::string::npos) << text;
  std::istringstream words(text.substr(at + 6));
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  arguments.insert(arguments.end(), {"--fits", limit});
  EXPECT_EQ(calc(arguments).code, 0) << text;
}

TEST(CalcParamsFits, GpusAreKnownByName) {
  const nlohmann::json json = json_of(small_with({"--gpu", "rtx 4090"}));
  EXPECT_EQ(json.at("fits").at("verdict"), "yes");
  EXPECT_EQ(json.at("fits").at("limit_bytes"), std::int64_t{24564} << 20);
  EXPECT_THAT(error_of(small_with({"--gpu", "RTX 4091"})),
              AllOf(HasSubstr("--gpu \"RTX 4091\""), HasSubstr("did you mean \"RTX 4090\""), HasSubstr("--fits")));
}

TEST(CalcParamsFits, AGpuByNameIsPlannedForAsItIs) {
  const std::vector<std::string> model = {"--config", preset("150M_1024")};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), model.begin(), model.end());
    return more;
  };
  const nlohmann::json t4 = json_of(with({"--gpu", "T4"}));
  EXPECT_EQ(t4.at("plan").at("dtype"), "float16") << "it has no bfloat16";
  EXPECT_EQ(t4.at("plan").at("backend"), "T4, sm_75, attention by Virgil's kernels") << "nothing of this machine";
  EXPECT_EQ(json_of(with({"--gpu", "T4", "--dtype", "float16"})).at("plan"), t4.at("plan"));
  EXPECT_EQ(json_of(with({"--gpu", "T4", "--dtype", "float32"})).at("plan").at("dtype"), "float32");
  EXPECT_THAT(error_of(with({"--gpu", "T4", "--dtype", "bfloat16"})), AllOf(HasSubstr("bfloat16"), HasSubstr("T4")));
  EXPECT_EQ(json_of(with({"--gpu", "RTX 4090"})).at("plan").at("dtype"), "bfloat16");
  // The peak is that of the type that is planned.
  EXPECT_THAT(calc(with({"--gpu", "T4"})).text,
              AllOf(HasSubstr("65 TFLOP/s peak of T4 in float16"), HasSubstr("dtype auto: float16")));
  EXPECT_THAT(calc(with({"--gpu", "T4", "--dtype", "float32"})).text, HasSubstr("8.1 TFLOP/s peak of T4 in float32"));
  EXPECT_EQ(calc(with({"--gpu", "T4", "--fits", "4GB"})).code, 1) << "less than all of it";
}

TEST(CalcParamsFits, GpusThatVirgilDoesNotRunOnAreRefused) {
  for (const char* name : {"V100", "GTX 1080 Ti"}) {
    EXPECT_THAT(error_of(small_with({"--gpu", name})),
                AllOf(HasSubstr(name), HasSubstr("compute capability"), HasSubstr("7.5")));
  }
  EXPECT_THAT(error_of(small_with({"--gpu", "T4", "--device", "cpu"})), AllOf(HasSubstr("--gpu"), HasSubstr("device is cpu")));
  EXPECT_THAT(error_of(small_with({"--gpu", "T4", "--verify"})), AllOf(HasSubstr("--gpu"), HasSubstr("--verify")));
}

TEST(CalcParamsFits, SolvesForWhatFits) {
  for (const char* variable : {"batch_size", "block_size", "n_layer", "n_embd"}) {
    const nlohmann::json json = json_of(small_with({"--solve", variable, "--max_memory", "40MB"}));
    EXPECT_LE(json.at("planned_bytes").get<std::int64_t>(), 40'000'000) << variable;
    EXPECT_TRUE(json.at("changes").contains(variable)) << json;
  }
  EXPECT_THAT(calc(small_with({"--solve", "batch_size", "--max_memory", "40MB"})).text,
              AllOf(HasSubstr("batch_size = "), HasSubstr("train --n_layer=2")));
  EXPECT_EQ(calc(small_with({"--solve", "batch_size", "--max_memory", "1KB"})).code, 1);
  EXPECT_THAT(calc(small_with({"--solve", "target_params=2M"})).text, HasSubstr("--n_embd"));
  EXPECT_THAT(error_of(small_with({"--solve", "dropout"})), HasSubstr("target_params=150M"));
  EXPECT_THAT(error_of(small_with({"--solve", "target_params=big"})), HasSubstr("150M"));
  EXPECT_THAT(error_of(small_with({"--solve", "target_params=10"})), HasSubstr("vocab_size"));
}

TEST(CalcParamsFits, AnAutomaticBatchIsTheLargestThatFits) {
  const nlohmann::json solved = json_of(small_with({"--solve", "batch_size", "--max_memory", "40MB"}));
  const nlohmann::json automatic = json_of(small_with({"--batch_size", "auto", "--max_memory", "40MB"}));
  EXPECT_EQ(std::to_string(automatic.at("plan").at("batch_size").get<int>()),
            solved.at("changes").at("batch_size").get<std::string>());
  const nlohmann::json dividing =
      json_of(small_with({"--batch_size", "auto", "--total_batch_size", "3072", "--max_memory", "40MB"}));
  EXPECT_EQ(48 % dividing.at("plan").at("batch_size").get<int>(), 0);
  EXPECT_EQ(dividing.at("plan").at("grad_accum_steps").get<int>() * dividing.at("plan").at("batch_size").get<int>(), 48);
}

TEST(CalcParamsFits, AnAutomaticBatchLeavesRoomOnThisMachine) {
  // Long contexts of many tokens, so that the batch is chosen by memory and not by the largest batch there is.
  const nlohmann::json json = json_of({"--n_layer", "8", "--n_head", "16", "--n_embd", "1024", "--block_size", "1024",
                                       "--batch_size", "auto", "--fits", "--threads", "1"});
  if (json.at("plan").at("batch_size") == 1) GTEST_SKIP() << "this machine has no room for such a model";
  EXPECT_EQ(json.at("fits").at("verdict"), "yes") << json.at("fits");
}

TEST(CalcParamsFits, MatrixMarksWhatFits) {
  const std::string text = calc(small_with({"--matrix", "--fits", "20MB"})).text;
  EXPECT_THAT(text, AllOf(HasSubstr("none"), HasSubstr("gelu"), HasSubstr("norm"), HasSubstr("block"), HasSubstr("*")));
}

TEST(CalcParamsFits, CommandsAreWrittenAsTheProgramWasStarted) {
  std::istringstream in;
  std::ostringstream out;
  NullLogger log;
  const std::vector<std::string> arguments = small_with({"--solve", "batch_size", "--max_memory", "40MB"});
  static_cast<void>(run_calc_params(arguments, in, out, log, "build/calc_params"));
  EXPECT_THAT(out.str(), HasSubstr("  build/train --n_layer=2"));
}

}  // namespace
}  // namespace virgil
