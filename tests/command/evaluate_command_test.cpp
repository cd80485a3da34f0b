#include "virgil/command/evaluate_command.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "format/gpt2_folder.h"
#include "support/user_error.h"
#include "train/tiny_run.h"
#include "virgil/base/non_finite_error.h"
#include "virgil/data/token_file.h"

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
    request_.inputs = {config.val_input.front()};
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

TEST_F(EvaluateCommand, TakesWhatTrainingTakes) {
  const std::filesystem::path texts = directory_.path() / "texts";
  std::filesystem::create_directories(texts);
  const std::string text = test_support::tiny_text(700, 9);
  test_support::write_all(texts / "a.txt", text.substr(0, 300));
  test_support::write_all(texts / "b.txt", text.substr(300));
  request_.json = true;
  request_.batch_size = 2;
  const auto with = [&](std::vector<std::string> inputs) {
    request_.inputs = std::move(inputs);
    return Json::parse(evaluate(request_));
  };
  // The char tokenizer has no end of text: two files are one text, and each has its part of the losses.
  const Json folder = with({texts.string()});
  EXPECT_EQ(folder["loss"], last_.loss);
  EXPECT_EQ(folder["documents"], 2);
  EXPECT_EQ(folder["inputs"], Json::array({texts.string()}));
  ASSERT_EQ(folder["files"].size(), 2U);
  double loss_sum = 0;
  std::int64_t predicted = 0;
  for (const Json& file : folder["files"]) {
    loss_sum += file["loss"].get<double>() * file["predicted_tokens"].get<double>();
    predicted += file["predicted_tokens"].get<std::int64_t>();
    EXPECT_DOUBLE_EQ(file["perplexity"].get<double>(), std::exp(file["loss"].get<double>()));
  }
  EXPECT_EQ(predicted, last_.num_tokens);
  // Sums of the same float32 losses in another order: less than their number times an ulp of the sum.
  EXPECT_NEAR(loss_sum / static_cast<double>(predicted), last_.loss, last_.loss * static_cast<double>(predicted) * 0x1.0p-24);
  EXPECT_EQ(folder["files"][0]["file"], (texts / "a.txt").string());
  EXPECT_EQ(folder["files"][0]["bytes"], 300);
  EXPECT_EQ(folder["files"][0]["predicted_tokens"], folder["files"][0]["tokens"].get<std::int64_t>() - 1);
  // The first windows are the same text.
  const Json alone = with({(texts / "a.txt").string()});
  EXPECT_NEAR(alone["loss"].get<double>(), folder["files"][0]["loss"].get<double>(), 0.02);
  EXPECT_EQ(alone["files"][0]["loss"], alone["loss"]);
  EXPECT_EQ(with({(texts / "a.txt").string(), (texts / "b.txt").string()})["loss"], last_.loss);
  EXPECT_EQ(with({(texts / "*.txt").string()})["loss"], last_.loss);
  // Token files, cut where a token file may be.
  const std::shared_ptr<Tokenizer> tokenizer = load_tokenizer(std::filesystem::path(request_.checkpoint));
  const std::vector<std::int32_t> ids = tokenizer->encode(text);
  const std::unique_ptr<FileSystem> files = make_posix_file_system();
  write_token_file(*files, directory_.path() / "text.bin", TokenFileFormat::kVirgil, *tokenizer, ids, std::ssize(text));
  EXPECT_EQ(with({(directory_.path() / "text.bin").string()})["loss"], last_.loss);
}

TEST_F(EvaluateCommand, TellsAFileWithoutAPredictionSo) {
  test_support::write_all(directory_.path() / "one.txt", "b");
  request_.inputs = {(directory_.path() / "one.txt").string(), request_.inputs.front()};
  EXPECT_THAT(evaluate(request_), AllOf(HasSubstr("2 files, "), HasSubstr("all of them\nloss ")));
  request_.json = true;
  const Json result = Json::parse(evaluate(request_));
  EXPECT_EQ(result["files"][0]["predicted_tokens"], 0);
  EXPECT_TRUE(result["files"][0]["loss"].is_null());
  EXPECT_GT(result["files"][1]["loss"], 0);
}

TEST_F(EvaluateCommand, ComputesInBFloat16) {
  request_.json = true;
  request_.dtype = "bfloat16";
  const Json result = Json::parse(evaluate(request_));
  EXPECT_EQ(result["dtype"], "bfloat16");
  // As tests/model/gpt_bfloat16_test.cpp: the logits are off by sqrt(n) u of their norm, and a loss by as much as its logits.
  const double roundings = 11.0 * 2 + 3;
  EXPECT_NEAR(result["loss"].get<double>(), last_.loss, std::sqrt(roundings) * 0x1.0p-8 * last_.loss);
  EXPECT_NE(result["loss"], last_.loss);
}

TEST_F(EvaluateCommand, RefusesAModelThatComputesNaN) {
  const std::filesystem::path folder = directory_.path() / "overflow";
  test_support::Gpt2Folder overflow(folder);
  // All are finite, unlike what is computed from them.
  overflow.tensors["transformer.h.1.ln_2.weight"].scale = 1e5F;
  overflow.tensors["transformer.h.1.mlp.c_fc.weight"].scale = 5e36F;
  overflow.write();
  const std::unique_ptr<Tokenizer> bytes = make_tokenizer("byte", "");
  for (const Tokenizer::File& file : bytes->files()) test_support::write_all(folder / file.name, file.content);
  request_.checkpoint = folder.string();
  std::ostringstream out;
  try {
    run_evaluate(request_, out, log_);
    FAIL() << out.str();
  } catch (const NonFiniteError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("val.txt: losses of this text are NaN or infinite"),
                                    HasSubstr("the output of transformer.h.1.mlp.c_fc, at position 0")));
  }
  EXPECT_THAT(out.str(), IsEmpty());
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
  EXPECT_THAT(refused(with([](auto& r) { r.inputs = {""}; })), HasSubstr("--input"));
  EXPECT_THAT(refused(with([](auto& r) { r.inputs = {"absent.txt"}; })), HasSubstr("absent.txt"));
  EXPECT_THAT(refused(with([](auto& r) { r.checkpoint = "absent"; })), HasSubstr("absent"));
  EXPECT_THAT(refused(with([](auto& r) { r.stride = 17; })), AllOf(HasSubstr("stride is 17"), HasSubstr("16")));
  EXPECT_THAT(refused(with([](auto& r) { r.stride = -1; })), HasSubstr("stride"));
  EXPECT_THAT(refused(with([](auto& r) { r.batch_size = 0; })), HasSubstr("batch_size"));
  test_support::write_all(directory_.path() / "one.txt", "b");
  EXPECT_THAT(refused(with([&](auto& r) { r.inputs = {(directory_.path() / "one.txt").string()}; })),
              AllOf(HasSubstr("one.txt: has 1 token,"), HasSubstr("longer")));
}

}  // namespace
}  // namespace virgil
