#include "virgil/report/budget_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/user_error.h"
#include "virgil/plan/catalogue.h"
#include "virgil/plan/estimates.h"
#include "virgil/report/budget_report.h"

namespace virgil {
namespace {

using ::testing::HasSubstr;

BudgetQuestion question_about(double seconds, std::int64_t text_bytes) {
  BudgetQuestion question{.seconds = seconds};
  question.text = {.tokenizer = "char",
                   .vocab_size = 100,
                   .train_tokens = text_bytes,
                   .train_bytes = text_bytes,
                   .val_tokens = text_bytes / 10,
                   .val_bytes = text_bytes / 10};
  question.line.config.tokenizer = "char";
  question.line.config.input = {"book.txt"};
  question.line.set_keys = {"input"};
  question.machine = machine_of(*find_gpu("RTX 4090"));
  return question;
}

TEST(BudgetPlan, EveryRunTakesTheTimeAndFillsItUnlessTheTextIsExhausted) {
  const BudgetQuestion question = question_about(7200, 1'000'000'000);
  for (const BudgetRun& run : plan_budget(question, TrainingRates(2e13))) {
    EXPECT_LE(run.seconds, question.seconds);
    EXPECT_TRUE(run.text_is_exhausted || run.seconds > 0.9 * question.seconds) << run.parameters;
    EXPECT_NEAR(run.tokens, static_cast<double>(run.config.max_iters * run.config.total_batch_size), 1);
    EXPECT_NEAR(run.tokens_per_s, 2e13 / count_flops(run.model).training(), 1e-6 * run.tokens_per_s);
    EXPECT_EQ(run.config.batch_size * run.config.grad_accum_steps * run.config.block_size, run.config.total_batch_size);
  }
}

TEST(BudgetPlan, MoreTimeTrainsALargerModelToALowerLoss) {
  const BudgetQuestion hour = question_about(3600, 10'000'000'000);
  const BudgetQuestion week = question_about(7 * 86400, 10'000'000'000);
  const auto short_runs = plan_budget(hour, TrainingRates(5e13));
  const auto long_runs = plan_budget(week, TrainingRates(5e13));
  EXPECT_LT(best_run(short_runs).parameters, best_run(long_runs).parameters);
  EXPECT_GT(best_run(short_runs).loss.expected, best_run(long_runs).loss.expected);
}

TEST(BudgetPlan, AShortTextEndsTheRunEarly) {
  const BudgetQuestion question = question_about(30 * 86400, 500'000);
  const auto runs = plan_budget(question, TrainingRates(5e13));
  const BudgetRun& best = best_run(runs);
  EXPECT_TRUE(best.text_is_exhausted);
  EXPECT_LT(best.seconds, question.seconds);
  EXPECT_LE(best.passes, kMostPasses);
  EXPECT_THAT(describe_budget(question, runs, "given"), HasSubstr("A longer text would lower the loss"));
}

TEST(BudgetPlan, WhatTheMemoryHoldsBoundsTheModel) {
  BudgetQuestion question = question_about(30 * 86400, 100'000'000'000);
  question.line.config.max_memory = "2GB";
  const auto runs = plan_budget(question, TrainingRates(1e15));
  EXPECT_FALSE(runs.back().fits);
  EXPECT_TRUE(best_run(runs).fits);
  EXPECT_LE(best_run(runs).planned_bytes, 2'000'000'000);
}

TEST(BudgetPlan, GivenKeysStay) {
  BudgetQuestion question = question_about(7200, 1'000'000'000);
  question.line.config.learning_rate = 1.25e-4;
  question.line.config.batch_size = 3;
  question.line.config.block_size = 128;
  question.line.set_keys.insert(question.line.set_keys.end(), {"learning_rate", "batch_size", "block_size"});
  const auto runs = plan_budget(question, TrainingRates(2e13));
  for (const BudgetRun& run : runs) {
    EXPECT_EQ(run.config.learning_rate, 1.25e-4);
    EXPECT_EQ(run.config.total_batch_size, 3 * 128);
    EXPECT_TRUE(std::ranges::none_of(run.changes, [](const auto& change) { return change.first == "learning_rate"; }));
  }
}

TEST(BudgetPlan, ANamedModelIsTheOnlyOne) {
  BudgetQuestion question = question_about(7200, 1'000'000'000);
  question.names_model = true;
  question.line.config.n_layer = 4;
  question.line.config.n_head = 4;
  question.line.config.n_embd = 128;
  const auto runs = plan_budget(question, TrainingRates(2e12));
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs.front().model.num_layers, 4);
  EXPECT_EQ(runs.front().model.embedding_dim, 128);
}

TEST(BudgetPlan, TheCommandTrainsWhatIsPlanned) {
  const BudgetQuestion question = question_about(7200, 2'000'000'000);
  const auto runs = plan_budget(question, TrainingRates(2e13));
  for (const BudgetRun& run : runs) {
    std::istringstream words(command_text("", question.line, run.changes));
    const std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
    CommandLine line = parse_train_command_line(arguments);
    resolve_config(line.config);
    resolve_dtype(line.config, question.machine);
    EXPECT_EQ(config_to_json(line.config), config_to_json(run.config));
  }
}

TEST(BudgetPlan, TooLittleTimeIsAnError) {
  const std::string error =
      test_support::user_error_of([] { static_cast<void>(plan_budget(question_about(1e-3, 1'000'000), TrainingRates(1e9))); });
  EXPECT_THAT(error, HasSubstr("not even the smallest model gets 50 steps"));
}

TEST(BudgetPlan, TheBestIsMeasured) {
  const BudgetQuestion question = question_about(7200, 1'000'000'000);
  std::vector<std::int64_t> measured;
  TrainingRates rates(1e14);
  const auto runs = plan_measured_budget(question, rates, [&](const BudgetRun& run) {
    measured.push_back(run.parameters);
    return 1e13;  // a tenth of what was thought
  });
  EXPECT_GE(measured.size(), 2U) << "a slower machine's best is smaller";
  EXPECT_NE(std::ranges::find(measured, best_run(runs).parameters), measured.end());
}

TEST(BudgetPlan, RatesBetweenMeasuredSizesLieBetween) {
  TrainingRates rates(7);
  EXPECT_EQ(rates.at(1e6), 7);
  rates.add(1e6, 10);
  rates.add(1e8, 30);
  EXPECT_EQ(rates.at(1e5), 10);
  EXPECT_NEAR(rates.at(1e7), 20, 1e-12);
  EXPECT_EQ(rates.at(1e9), 30);
}

TEST(BudgetReport, TellsPriceAndRange) {
  BudgetQuestion question = question_about(3600, 1'000'000'000);
  question.price_per_hour = 2;
  const auto runs = plan_budget(question, TrainingRates(2e13));
  const BudgetRun& best = best_run(runs);
  EXPECT_NEAR(best.price, best.seconds / 3600 * 2, 1e-9);
  const std::string text = describe_budget(question, runs, "given");
  EXPECT_THAT(text, HasSubstr("price"));
  EXPECT_THAT(text, HasSubstr("--max_iters"));
  const nlohmann::json json = budget_json(question, runs, "given");
  EXPECT_EQ(json.at("runs").size(), runs.size());
  EXPECT_EQ(json.at("runs").at(json.at("best").get<std::size_t>()).at("parameters"), best.parameters);
}

}  // namespace
}  // namespace virgil
