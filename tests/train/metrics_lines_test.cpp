#include "train/metrics_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

using Json = nlohmann::json;
using test_support::read_all;
using test_support::write_all;

StepMetrics example_step() {
  StepMetrics metrics;
  metrics.step = 7;
  metrics.max_steps = 20;
  metrics.tokens = 8 * 512;
  metrics.epoch = 0.25;
  metrics.loss = 2.5;
  metrics.learning_rate = 1e-3;
  metrics.grad_norm = 0.75;
  metrics.elapsed_ms = 12.5;
  metrics.tokens_per_s = 40960;
  metrics.model_gflops = 3;
  metrics.mfu = 0.5;
  metrics.memory.planned_bytes = 1000;
  metrics.memory.allocated_bytes = 1000;
  metrics.memory.peak_bytes = 1000;
  metrics.memory.by_category[MemoryCategory::kWeights] = 400;
  metrics.memory.by_category[MemoryCategory::kActivations] = 600;
  metrics.memory.planned_by_category = metrics.memory.by_category;
  metrics.memory.peak_by_category[MemoryCategory::kData] = 7;
  metrics.time_s = 1700000000.1234;
  metrics.memory.process_rss_bytes = 5000;
  metrics.memory.process_peak_bytes = 6000;
  return metrics;
}

EvalMetrics example_evaluation() {
  return {.step = 7, .loss = 2.25, .perplexity = 9.5, .bits_per_byte = 3.25, .num_tokens = 100, .elapsed_ms = 5};
}

/// What stands in the file.
Json written(const MetricsLine& line) { return Json::parse(line_text(line)); }

TEST(MetricsLines, AStepHoldsTheDocumentedFields) {
  const Json expected = Json::parse(R"({"step": 7, "time": 1700000000.123, "tokens": 4096, "epoch": 0.25, "loss": 2.5,
      "loss_smoothed": 2.75, "lr": 0.001, "grad_norm": 0.75, "updated": true, "dt_ms": 12.5, "tokens_per_s": 40960,
      "model_gflops": 3, "mfu": 0.5,
      "mem": {"allocated": 1000, "peak": 1000, "process_rss": 5000, "process_peak": 6000,
              "by_category": {"weights": 400, "master_weights": 0, "gradients": 0, "optimizer": 0, "activations": 600,
                              "logits": 0, "workspace": 0, "data": 0},
              "peak_by_category": {"weights": 0, "master_weights": 0, "gradients": 0, "optimizer": 0, "activations": 0,
                                   "logits": 0, "workspace": 0, "data": 7}}})");
  EXPECT_EQ(written(step_line(example_step(), 2.75, "")), expected);
}

TEST(MetricsLines, AStepOnADeviceTellsOfItsMemoryAndInFloat16OfItsScale) {
  StepMetrics step = example_step();
  const Json plain = written(step_line(step, 2.5, ""));
  EXPECT_FALSE(plain.contains("loss_scale"));
  EXPECT_FALSE(plain["mem"].contains("device_used"));
  step.memory.device = {.total_bytes = 9000, .free_bytes = 2000, .context_bytes = 300, .others_bytes = 200};
  step.loss_scale = 65536;
  const Json line = written(step_line(step, 2.5, ""));
  EXPECT_EQ(line["loss_scale"], 65536);
  EXPECT_EQ(line["mem"]["device_used"], 7000);
  EXPECT_EQ(line["mem"]["device_free"], 2000);
  EXPECT_EQ(line["mem"]["device_context"], 300);
  EXPECT_EQ(line["mem"]["device_others"], 200);
}

TEST(MetricsLines, AnEvaluationJoinsTheStepItWasMadeAtOrStandsAlone) {
  StepMetrics step = example_step();
  step.evaluation = example_evaluation();
  for (const Json& line : {written(step_line(step, 2.5, "")), written(evaluation_line(example_evaluation(), 1.5))}) {
    EXPECT_EQ(line["step"], 7);
    EXPECT_EQ(line["val_loss"], 2.25);
    EXPECT_EQ(line["val_ppl"], 9.5);
    EXPECT_EQ(line["val_bpb"], 3.25);
  }
  EXPECT_FALSE(written(evaluation_line(example_evaluation(), 1.5)).contains("loss"));
}

TEST(MetricsLines, ASampleIsTextWhateverItsBytesAre) {
  EXPECT_EQ(written(step_line(example_step(), 2.5, "a\n\"b\""))["sample"], "a\n\"b\"");
  EXPECT_FALSE(written(step_line(example_step(), 2.5, "")).contains("sample"));
  EXPECT_EQ(written(sample_line(20, 1.25, "\xFFz")), Json::parse("{\"step\": 20, \"time\": 1.25, \"sample\": \"\uFFFDz\"}"));
}

TEST(MetricsLines, WhatIsNotFiniteIsAStringThatNoReaderTakesForANumber) {
  StepMetrics step = example_step();
  step.loss = std::numeric_limits<double>::quiet_NaN();
  step.grad_norm = std::numeric_limits<double>::infinity();
  step.updated = false;
  const Json line = written(step_line(step, 2.5, ""));
  EXPECT_EQ(line["loss"], "nan");
  EXPECT_EQ(line["grad_norm"], "inf");
  EXPECT_EQ(line["updated"], false);
}

TEST(MetricsLines, NumbersAreReadBackAndNothingElseIsOne) {
  const MetricsLine line = MetricsLine::parse(R"({"a": 1.5, "b": "nan", "c": "-inf", "d": "inf", "e": "1", "f": [2]})");
  EXPECT_EQ(number_in(line, "a"), 1.5);
  EXPECT_TRUE(std::isnan(number_in(line, "b").value()));
  EXPECT_EQ(number_in(line, "c"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(number_in(line, "d"), std::numeric_limits<double>::infinity());
  for (const char* key : {"e", "f", "missing"}) EXPECT_FALSE(number_in(line, key).has_value()) << key;
  EXPECT_EQ(text_in(line, "e"), "1");
  EXPECT_EQ(text_in(line, "f"), "");
}

TEST(MetricsLines, AnUnknownRateHasNoUtilisation) {
  StepMetrics step = example_step();
  step.mfu = 0;
  EXPECT_FALSE(written(step_line(step, 2.5, "")).contains("mfu"));
}

class MetricsTruncation : public testing::Test {
 protected:
  std::vector<Json> lines() const {
    std::vector<Json> result;
    std::istringstream text(read_all(path_));
    for (std::string line; std::getline(text, line);) result.push_back(Json::parse(line));
    return result;
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "metrics.jsonl";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST_F(MetricsTruncation, KeepsTheStepsBeforeTheOneToComeNext) {
  write_all(path_,
            "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":2,\"val_loss\":2.5}\n{\"step\":2,\"loss\":1}\n"
            "{\"step\":3,\"val_loss\":2.4}\n");
  truncate_metrics(*files_, path_, 2);
  EXPECT_EQ(read_all(path_), "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":2,\"val_loss\":2.5}\n");
  truncate_metrics(*files_, path_, 2);
  EXPECT_EQ(lines().size(), 2U);
  truncate_metrics(*files_, path_, 0);
  EXPECT_EQ(read_all(path_), "");
}

TEST_F(MetricsTruncation, DropsTheEvaluationThatEndedTheRun) {
  write_all(path_, "{\"step\":0,\"loss\":3}\n{\"step\":1,\"val_loss\":2.4}\n");
  truncate_metrics(*files_, path_, 1);  // step 1 will carry that evaluation itself
  EXPECT_EQ(read_all(path_), "{\"step\":0,\"loss\":3}\n");
}

TEST_F(MetricsTruncation, TellsWhatIsLost) {
  write_all(path_, "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":2}\n{\"step\":2,\"lo");
  EXPECT_EQ(truncate_metrics(*files_, path_, 2), "") << "a torn last line is a kill's, and comes again";
  EXPECT_THAT(truncate_metrics(*files_, path_, 5), testing::HasSubstr("the figures of 2 of the 5 steps before"));
  const std::string damaged = "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":}\n{\"step\":2,\"loss\":2}\n";
  for (const char* copy : {".damaged", ".damaged+"}) {
    write_all(path_, damaged);
    EXPECT_THAT(
        truncate_metrics(*files_, path_, 3),
        testing::AllOf(testing::HasSubstr("1 lines are damaged"), testing::HasSubstr(copy), testing::HasSubstr("2 of the 3")));
    EXPECT_EQ(read_all(path_.string() + copy), damaged);
    EXPECT_EQ(lines().size(), 2U);
  }
  write_all(path_, std::string(100000, '[') + "\n");
  EXPECT_THAT(truncate_metrics(*files_, path_, 1), testing::HasSubstr("damaged"));
  std::filesystem::remove(path_);
  EXPECT_EQ(truncate_metrics(*files_, path_, 0), "");
  EXPECT_THAT(truncate_metrics(*files_, path_, 5), testing::HasSubstr("missing"));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(MetricsTruncation, DropsTornAndForeignLines) {
  write_all(path_,
            "{\"step\":0,\"loss\":3}\nhello\n\n[1]\n{\"step\":\"1\",\"loss\":3}\n{\"step\":1,\"loss\":2}\n{\"step\":1,\"lo");
  truncate_metrics(*files_, path_, 9);
  EXPECT_EQ(read_all(path_), "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":2}\n");
}

TEST_F(MetricsTruncation, TellsOfEachLineThatStays) {
  write_all(
      path_,
      "{\"step\":0,\"loss\":3}\n{\"step\":18446744073709551615,\"loss\":2}\n{\"step\":-1,\"loss\":2}\n{\"step\":1,\"loss\":1}\n");
  std::vector<double> losses;
  truncate_metrics(*files_, path_, 1, [&](const MetricsLine& line) { losses.push_back(number_in(line, "loss").value()); });
  EXPECT_EQ(losses, std::vector<double>{3});
}

}  // namespace
}  // namespace virgil
