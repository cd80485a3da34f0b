#include "virgil/train/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/temporary_directory.h"

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
  metrics.memory.process_before_bytes = 4000;
  metrics.memory.process_rss_bytes = 5000;
  metrics.memory.process_peak_bytes = 6000;
  return metrics;
}

EvalMetrics example_evaluation() {
  return {.step = 7, .loss = 2.25, .perplexity = 9.5, .bits_per_byte = 3.25, .num_tokens = 100, .elapsed_ms = 5};
}

class Metrics : public testing::Test {
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

TEST_F(Metrics, AStepHoldsTheDocumentedFields) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  jsonl.step(example_step());
  const Json expected = Json::parse(R"({"step": 7, "tokens": 4096, "epoch": 0.25, "loss": 2.5, "lr": 0.001, "grad_norm": 0.75,
      "updated": true, "dt_ms": 12.5, "tokens_per_s": 40960, "model_gflops": 3, "mfu": 0.5,
      "mem": {"planned": 1000, "allocated": 1000, "peak": 1000, "process_rss": 5000, "process_peak": 6000,
              "by_category": {"weights": 400, "master_weights": 0, "gradients": 0, "optimizer": 0, "activations": 600,
                              "logits": 0, "workspace": 0, "data": 0},
              "planned_by_category": {"weights": 400, "master_weights": 0, "gradients": 0, "optimizer": 0, "activations": 600,
                                      "logits": 0, "workspace": 0, "data": 0},
              "peak_by_category": {"weights": 0, "master_weights": 0, "gradients": 0, "optimizer": 0, "activations": 0,
                                   "logits": 0, "workspace": 0, "data": 7},
              "process_before": 4000}})");
  EXPECT_EQ(lines(), std::vector{expected});
}

TEST_F(Metrics, AStepOnADeviceTellsOfItsMemoryAndInFloat16OfItsScale) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  StepMetrics step = example_step();
  jsonl.step(step);
  step.memory.device = {.total_bytes = 9000, .free_bytes = 2000, .context_bytes = 300, .others_bytes = 200};
  step.loss_scale = 65536;
  jsonl.step(step);
  EXPECT_FALSE(lines()[0].contains("loss_scale"));
  EXPECT_FALSE(lines()[0]["mem"].contains("device_used"));
  EXPECT_EQ(lines()[1]["loss_scale"], 65536);
  EXPECT_EQ(lines()[1]["mem"]["device_used"], 7000);
  EXPECT_EQ(lines()[1]["mem"]["device_free"], 2000);
  EXPECT_EQ(lines()[1]["mem"]["device_context"], 300);
  EXPECT_EQ(lines()[1]["mem"]["device_others"], 200);
}

TEST_F(Metrics, AnEvaluationJoinsTheStepItWasMadeAt) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  StepMetrics step = example_step();
  step.evaluation = example_evaluation();
  jsonl.step(step);
  jsonl.final_evaluation(example_evaluation());
  ASSERT_EQ(lines().size(), 2U);
  for (const Json& line : lines()) {
    EXPECT_EQ(line["step"], 7);
    EXPECT_EQ(line["val_loss"], 2.25);
    EXPECT_EQ(line["val_ppl"], 9.5);
    EXPECT_EQ(line["val_bpb"], 3.25);
  }
  EXPECT_FALSE(lines()[1].contains("loss"));
}

TEST_F(Metrics, WhatIsNotFiniteIsAStringThatNoReaderTakesForANumber) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  StepMetrics step = example_step();
  step.loss = std::numeric_limits<double>::quiet_NaN();
  step.grad_norm = std::numeric_limits<double>::infinity();
  step.updated = false;
  jsonl.step(step);
  EXPECT_EQ(lines()[0]["loss"], "nan");
  EXPECT_EQ(lines()[0]["grad_norm"], "inf");
  EXPECT_EQ(lines()[0]["updated"], false);
}

TEST_F(Metrics, AnUnknownRateHasNoUtilisation) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  StepMetrics step = example_step();
  step.mfu = 0;
  jsonl.step(step);
  EXPECT_FALSE(lines()[0].contains("mfu"));
}

TEST_F(Metrics, EachLineIsReadableAtOnce) {
  JsonlMetrics jsonl;
  jsonl.open(files_->open_for_append(path_));
  for (std::size_t i = 1; i <= 3; ++i) {
    jsonl.step(example_step());
    EXPECT_EQ(lines().size(), i);
  }
}

TEST_F(Metrics, NothingIsWrittenBeforeOpening) {
  JsonlMetrics jsonl;
  jsonl.step(example_step());
  jsonl.final_evaluation(example_evaluation());
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(Metrics, TruncationKeepsTheStepsBeforeTheOneToComeNext) {
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

TEST_F(Metrics, TruncationDropsTheEvaluationThatEndedTheRun) {
  write_all(path_, "{\"step\":0,\"loss\":3}\n{\"step\":1,\"val_loss\":2.4}\n");
  truncate_metrics(*files_, path_, 1);  // step 1 will carry that evaluation itself
  EXPECT_EQ(read_all(path_), "{\"step\":0,\"loss\":3}\n");
}

TEST_F(Metrics, TruncationTellsWhatIsLost) {
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

TEST_F(Metrics, TruncationDropsTornAndForeignLines) {
  write_all(path_,
            "{\"step\":0,\"loss\":3}\nhello\n\n[1]\n{\"step\":\"1\",\"loss\":3}\n{\"step\":1,\"loss\":2}\n{\"step\":1,\"lo");
  truncate_metrics(*files_, path_, 9);
  EXPECT_EQ(read_all(path_), "{\"step\":0,\"loss\":3}\n{\"step\":1,\"loss\":2}\n");
}

TEST_F(Metrics, ProcessMemoryIsWhatTheSystemSays) {
  const ProcessMemory memory = read_process_memory();
  EXPECT_GT(memory.rss_bytes, 0);
  EXPECT_GT(memory.peak_bytes, 0);
  std::vector<char> block(std::size_t{64} << 20, 1);
  const ProcessMemory grown = read_process_memory();
  // The block is resident; the rest of the process may have shrunk a little.
  EXPECT_GT(grown.rss_bytes, memory.rss_bytes + (std::int64_t{48} << 20)) << block.back();
  EXPECT_GE(grown.peak_bytes, memory.peak_bytes);
}

}  // namespace
}  // namespace virgil
