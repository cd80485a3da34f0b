#include "virgil/train/evaluate_command.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/user_error.h"
#include "train/tiny_run.h"

namespace virgil {
namespace {

using Json = nlohmann::json;
using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class EvaluateCommand : public testing::Test {
 protected:
  EvaluateCommand() {
    TrainConfig config = test_support::tiny_config(directory_.path());
    config.val_input = {(directory_.path() / "val.txt").string()};
    test_support::write_all(config.val_input.front(), test_support::tiny_text(700, 9));
    config.eval_iters = 0;
    test_support::TinyRun run(config);
    EXPECT_EQ(run.train(), RunStatus::kFinished);
    last_ = run.sink.evaluations.back();
    request_.checkpoint = (run.folder() / "step-00000008").string();
    request_.input = config.val_input.front();
    request_.device.threads = 1;
  }

  std::string evaluate(const EvaluateRequest& request) {
    std::ostringstream out;
    run_evaluate(request, out, log_);
    return out.str();
  }
  std::string refused(const EvaluateRequest& request) {
    std::ostringstream out;
    const std::string message = user_error_of([&] { run_evaluate(request, out, log_); });
    EXPECT_THAT(out.str(), IsEmpty());
    return message;
  }

  test_support::TemporaryDirectory directory_;
  EvaluateRequest request_;
  EvalMetrics last_;
  RecordingLogger log_;
};

TEST_F(EvaluateCommand, GivesTheLossThatTrainingReported) {
  request_.json = true;
  request_.batch_size = 2;  // as in training, so that every product has the same shape: the same bits
  const Json result = Json::parse(evaluate(request_));
  EXPECT_EQ(result["loss"], last_.loss);
  EXPECT_EQ(result["perplexity"], last_.perplexity);
  EXPECT_EQ(result["bits_per_byte"], last_.bits_per_byte);
  EXPECT_EQ(result["predicted_tokens"], last_.num_tokens);
  EXPECT_EQ(result["tokens"], last_.num_tokens + 1);
  EXPECT_EQ(result["block_size"], 16);
  EXPECT_EQ(result["stride"], 16);
  EXPECT_EQ(result["step"], 8);
}

TEST_F(EvaluateCommand, SlidesItsWindows) {
  request_.json = true;
  const Json apart = Json::parse(evaluate(request_));
  request_.stride = 1;
  const Json sliding = Json::parse(evaluate(request_));
  EXPECT_EQ(sliding["predicted_tokens"], apart["predicted_tokens"]);
  EXPECT_EQ(sliding["stride"], 1);
  EXPECT_NE(sliding["loss"], apart["loss"]);
  // A few steps of training: both are near a guess.
  EXPECT_NEAR(sliding["loss"].get<double>(), apart["loss"].get<double>(), 0.5);
}

TEST_F(EvaluateCommand, WritesLinesForAPerson) {
  EXPECT_THAT(evaluate(request_), AllOf(HasSubstr(fmt::format("loss        {:.4f}", last_.loss)), HasSubstr("perplexity  "),
                                        HasSubstr("bits/byte   "), HasSubstr("16 tokens, 16 apart")));
}

TEST_F(EvaluateCommand, RefusesWhatCannotBe) {
  const auto with = [&](auto&& change) {
    EvaluateRequest changed = request_;
    change(changed);
    return changed;
  };
  EXPECT_THAT(refused(with([](auto& r) { r.input = ""; })), HasSubstr("--input"));
  EXPECT_THAT(refused(with([](auto& r) { r.input = "absent.txt"; })), HasSubstr("absent.txt"));
  EXPECT_THAT(refused(with([](auto& r) { r.checkpoint = "absent"; })), HasSubstr("absent"));
  EXPECT_THAT(refused(with([](auto& r) { r.stride = 17; })), AllOf(HasSubstr("stride is 17"), HasSubstr("16")));
  EXPECT_THAT(refused(with([](auto& r) { r.stride = -1; })), HasSubstr("stride"));
  EXPECT_THAT(refused(with([](auto& r) { r.batch_size = 0; })), HasSubstr("batch_size"));
  test_support::write_all(directory_.path() / "one.txt", "b");
  EXPECT_THAT(refused(with([&](auto& r) { r.input = (directory_.path() / "one.txt").string(); })),
              AllOf(HasSubstr("one.txt: has 1 token,"), HasSubstr("longer")));
}

}  // namespace
}  // namespace virgil
