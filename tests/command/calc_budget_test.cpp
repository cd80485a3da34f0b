#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "command/calc_params_support.h"
#include "support/temporary_directory.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

using test_support::calc;
using test_support::error_of;
using test_support::json_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CalcBudget : public ::testing::Test {
 protected:
  CalcBudget() {
    std::string text;
    for (int i = 0; i < 5000; ++i) text += "nel mezzo del cammin di nostra vita " + std::to_string(i) + "\n";
    test_support::write_all(text_, text);
  }
  [[nodiscard]] std::vector<std::string> with(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"--input", text_, "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  test_support::TemporaryDirectory folder_;
  std::string text_ = (folder_.path() / "book.txt").string();
};

TEST_F(CalcBudget, CountsTheTextByTheTokenizer) {
  const nlohmann::json json = json_of(with({"--budget", "10min", "--tflops", "0.1"}));
  const nlohmann::json& text = json.at("text");
  EXPECT_EQ(text.at("tokenizer"), "char") << "a short text is learned by characters";
  EXPECT_EQ(text.at("train_tokens"), text.at("train_bytes")) << "it has no others";
  EXPECT_GT(text.at("val_tokens"), 0);
  EXPECT_EQ(json_of(with({"--budget", "10min", "--tflops", "0.1", "--tokenizer", "byte"})).at("text").at("vocab_size"), 256);
}

TEST_F(CalcBudget, ItsCommandIsTakenByTrain) {
  const nlohmann::json json = json_of(with({"--budget", "10min", "--tflops", "0.1"}));
  const nlohmann::json& best = json.at("runs").at(json.at("best").get<std::size_t>());
  std::istringstream words(best.at("command").get<std::string>());
  std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
  arguments.erase(arguments.begin());  // train
  const TrainConfig config = parse_train_command_line(arguments).config;
  EXPECT_EQ(config.n_embd, best.at("n_embd"));
  EXPECT_EQ(config.max_iters, best.at("max_iters"));
  EXPECT_EQ(config.input, std::vector<std::string>{text_});
}

TEST_F(CalcBudget, AVocabularyAloneNamesNoModel) {
  const nlohmann::json json = json_of(with({"--budget", "10min", "--tflops", "0.1", "--vocab_size", "1000"}));
  EXPECT_GT(json.at("runs").size(), 3U);
  EXPECT_EQ(json_of(with({"--budget", "10min", "--tflops", "0.1", "--n_layer", "2", "--n_embd", "64", "--n_head", "2"}))
                .at("runs")
                .size(),
            1U);
}

TEST_F(CalcBudget, MeasuresThisMachineWhereNoRateIsGiven) {
  const std::string text = calc(with({"--budget", "20s", "--n_layer", "1", "--n_head", "2", "--n_embd", "32", "--block_size",
                                      "32", "--batch_size", "4", "--tokenizer", "char"}))
                               .text;
  EXPECT_THAT(text, AllOf(HasSubstr("by steps of the best model"), HasSubstr("1 x 32"), HasSubstr("--max_iters")));
}

TEST_F(CalcBudget, WrongQuestions) {
  EXPECT_THAT(error_of({"--budget", "2h"}), HasSubstr("--input FILE"));
  EXPECT_THAT(error_of(with({"--budget", "2"})), HasSubstr("has no unit"));
  EXPECT_THAT(error_of(with({"--budget", "2h", "--model", "gpt2"})), HasSubstr("two questions"));
  EXPECT_THAT(error_of(with({"--budget", "2h", "--epochs", "2"})), HasSubstr("both say how long"));
  EXPECT_THAT(error_of(with({"--price", "2"})), HasSubstr("--price is of --budget"));
  EXPECT_THAT(error_of(with({"--budget", "2h", "--init_from", "somewhere"})), HasSubstr("leave one of the two out"));
  EXPECT_THAT(error_of(with({"--budget", "2h", "--tflops", "1", "--fits", "1MB"})), HasSubstr("may be used (1MB)"));
}

}  // namespace
}  // namespace virgil
