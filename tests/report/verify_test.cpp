// The plan held against reality: planned bytes are allocated bytes, and the process grows by what was planned.
#include "virgil/report/verify.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "support/repository.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/report/presets.h"
#include "virgil/train/run_folder.h"

namespace virgil {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kHasSanitizer = true;  // shadow memory and quarantine are resident too
#else
constexpr bool kHasSanitizer = false;
#endif

Subject subject_with(std::initializer_list<std::pair<const char*, const char*>> settings) {
  CommandLine line;
  for (const auto& [key, value] : settings) set_config_value(line.config, key, value, "test");
  return make_subject({}, line, {});
}

using Settings = std::vector<std::pair<const char*, const char*>>;

/// The types a run can be made in: dtype, and the keys of the states that have a type of their own. Add what comes.
const std::vector<Settings> kPrecisions = {{{"dtype", "float32"}},
                                           {{"dtype", "bfloat16"}},
                                           {{"dtype", "float32"}, {"optimizer_state_dtype", "bfloat16"}},
                                           {{"dtype", "bfloat16"}, {"optimizer_state_dtype", "bfloat16"}},
                                           {{"dtype", "bfloat16"}, {"master_weights", "false"}}};

/// Levers that change the plan and nothing else; a sanitizer, which makes a step ten times as long, finds the same code
/// without.
const std::vector<Settings> kLevers = kHasSanitizer
                                          ? std::vector<Settings>{{}}
                                          : std::vector<Settings>{{}, {{"logits_chunk", "100"}}, {{"sample_interval", "0"}}};

/// A preset with its own proportions, heads and settings, small enough for two steps in milliseconds.
PlannedSubject scaled_down(const Preset& preset, Recompute recompute, const Settings& precision, const Settings& lever) {
  CommandLine line;
  line.config = preset.subject.command_line.config;
  TrainConfig& config = line.config;
  config.n_layer = 2;
  config.n_embd = 8 * config.n_head;
  config.block_size /= 32;
  config.batch_size = 3;
  config.grad_accum_steps = 1;
  config.total_batch_size = 0;
  config.vocab_size = 300;
  config.recompute = name_of(recompute);
  for (const Settings& settings : {precision, lever}) {
    for (const auto& [key, value] : settings) set_config_value(config, key, value, "test");
  }
  // Muon goes with neither: then the preset's other settings are tried with AdamW.
  if (config.optimizer_state_dtype != "float32" || !config.master_weights) config.optimizer = "adamw";
  return plan_subject(make_subject({}, line, {}));
}

class PlanIsAllocation : public testing::TestWithParam<std::tuple<Settings, Settings>> {};

TEST_P(PlanIsAllocation, ForEveryPresetAndLevel) {
  const auto& [precision, lever] = GetParam();
  for (const Preset& preset : load_presets(test_support::repository_path("configs"), any_machine())) {
    for (const Recompute recompute : kAllRecompute) {
      const PlannedSubject planned = scaled_down(preset, recompute, precision, lever);
      ASSERT_TRUE(planned.plan) << planned.why_not;
      const Verification result = verify_plan(planned);
      EXPECT_EQ(result.memory.planned, planned.get().by_category()) << preset.name;
      EXPECT_EQ(result.memory.allocated, result.memory.planned) << preset.name << " " << name_of(recompute);
      EXPECT_EQ(result.memory.peak, result.memory.planned) << preset.name << " " << name_of(recompute);
      EXPECT_EQ(result.memory.peak_bytes, planned.get().total_bytes()) << preset.name << " " << name_of(recompute);
      // Random tokens and small random weights: the loss is near ln V, whatever the model. 0.02-scale logits keep it within
      // 0.1.
      EXPECT_NEAR(result.first_loss, std::log(300.0), 0.1) << preset.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Verify, PlanIsAllocation, testing::Combine(testing::ValuesIn(kPrecisions), testing::ValuesIn(kLevers)),
                         [](const auto& info) { return fmt::format("Case{}", info.index); });

// More than 700 MiB, nearly all of it touched by two real steps. What is not the plan (threads, the library's buffers and code,
// rounding to pages) must stay within 3 % of it. A good part of that does not grow with the plan: with AVX2 each of the
// library's threads may keep 8 MiB of freed scratch.
TEST(Verify, TheProcessGrowsByWhatWasPlanned) {
  if (kHasSanitizer) GTEST_SKIP() << "a sanitizer's own memory counts as resident";
  const auto settings = {std::pair{"n_layer", "6"}, {"n_head", "8"},     {"n_embd", "512"},     {"block_size", "256"},
                         {"vocab_size", "8192"},    {"batch_size", "8"}, {"tokenizer", "byte"}, {"dtype", "float32"}};
  {
    // Threads and the library's kernels exist from the first run on; a plan does not know them.
    static_cast<void>(verify_plan(plan_subject(subject_with({{"n_layer", "1"},
                                                             {"n_head", "8"},
                                                             {"n_embd", "512"},
                                                             {"block_size", "256"},
                                                             {"vocab_size", "8192"},
                                                             {"batch_size", "4"},
                                                             {"dtype", "float32"}}))));
  }
  const PlannedSubject planned = plan_subject(subject_with(settings));
  ASSERT_GE(planned.get().total_bytes(), std::int64_t{700} << 20);
  const Verification result = verify_plan(planned);
  const std::int64_t growth = result.memory.after.rss_bytes - result.memory.before.rss_bytes;
  const auto total = static_cast<double>(planned.get().total_bytes());
  EXPECT_NEAR(static_cast<double>(growth), total, 0.03 * total) << describe_verification(result);
}

// The same of the allocation alone: every byte touched, no engine running.
TEST(Verify, TouchedPlanIsResident) {
  if (kHasSanitizer) GTEST_SKIP() << "a sanitizer's own memory counts as resident";
  const PlannedSubject planned = plan_subject(subject_with({{"n_layer", "4"},
                                                            {"n_head", "8"},
                                                            {"n_embd", "512"},
                                                            {"block_size", "512"},
                                                            {"vocab_size", "8192"},
                                                            {"batch_size", "4"},
                                                            {"dtype", "float32"}}));
  ASSERT_GE(planned.get().total_bytes(), std::int64_t{500} << 20);
  const ProcessMemory before = read_process_memory();
  TrackingResource tracker(planned.backend->memory());
  const PlannedMemory memory(planned.get(), tracker);
  for (const PlanItem& item : planned.get().items()) {
    const std::span<std::byte> bytes = memory.bytes(item.slot);
    std::memset(bytes.data(), 1, bytes.size());
  }
  const MemoryComparison comparison = compare_memory(planned.get(), tracker, before, std::nullopt);
  const auto growth = static_cast<double>(comparison.after.rss_bytes - comparison.before.rss_bytes);
  const auto total = static_cast<double>(planned.get().total_bytes());
  EXPECT_NEAR(growth, total, 0.03 * total);
}

TEST(Verify, SaysWhatItFound) {
  const PlannedSubject planned = plan_subject(
      subject_with({{"n_layer", "1"}, {"n_head", "1"}, {"n_embd", "8"}, {"block_size", "8"}, {"vocab_size", "10"}}));
  const std::string text = describe_verification(verify_plan(planned));
  for (const char* part : {"weights", "gradients", "optimizer", "activations", "equal", "the plan cannot know"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  EXPECT_EQ(text.find("apart"), std::string::npos) << text;
}

TEST(Verify, TellsTheSharesOfADevicesMemory) {
  constexpr std::int64_t kMiB = std::int64_t{1} << 20;
  MemoryComparison comparison;
  comparison.planned[MemoryCategory::kWeights] = comparison.allocated[MemoryCategory::kWeights] = 100 * kMiB;
  comparison.before = {.rss_bytes = 10 * kMiB, .peak_bytes = 10 * kMiB};
  comparison.after = {.rss_bytes = 20 * kMiB, .peak_bytes = 20 * kMiB};
  comparison.device = {.total_bytes = 1000 * kMiB, .free_bytes = 500 * kMiB, .context_bytes = 300 * kMiB};
  std::string text;
  for (const std::string& line : describe_memory(comparison)) text += line + "\n";
  EXPECT_NE(text.find("device: 500.0 MiB of 1000.0 MiB used: 100.0 MiB by the plan, 300.0 MiB by the context, 100.0 MiB by"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("process: 20.0 MiB"), std::string::npos) << text;
  EXPECT_EQ(text.find("since the plan was allocated"), std::string::npos) << "the plan is not in the process\n" << text;
}

class CompareRun : public testing::Test {
 protected:
  void write(const std::filesystem::path& path, const std::string& text) const {
    std::filesystem::create_directories(path.parent_path());
    write_file_atomically(*make_posix_file_system(), path, text);
  }
  void write_run(const std::string& metrics) const {
    write(run_ / "run_config.json",
          R"({"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 8, "batch_size": 2, "tokenizer": "char", "threads": 1})");
    write(run_ / "step-00000001" / "config.json",
          R"({"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8, "n_positions": 8, "vocab_size": 65,
              "virgil": {"bias": false}})");
    write(run_ / "metrics.jsonl", metrics);
  }
  std::string error() const {
    return test_support::user_error_of([&] { (void)compare_run(run_); });
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path run_ = directory_.path() / "run";
};

constexpr const char* kCategories =
    R"({"weights": %W, "master_weights": 0, "gradients": 1, "optimizer": 1, "activations": 1, "logits": 1, "workspace": 1, "data": 1})";

TEST_F(CompareRun, PlansTheRunAgain) {
  CommandLine line;
  apply_config_json(line.config, R"({"n_layer": 1, "n_head": 1, "n_embd": 8, "block_size": 8, "batch_size": 2, "vocab_size": 65,
                                     "threads": 1})",
                    "test");
  const PlannedSubject planned = plan_subject(make_subject({}, line, {}));
  std::string categories = kCategories;
  categories.replace(categories.find("%W"), 2, std::to_string(planned.get().by_category()[MemoryCategory::kWeights]));
  write_run("{\"step\": 0, \"mem\": {\"peak\": 1000, \"process_rss\": 5000000, \"process_peak\": 6000000, \"by_category\": " +
            categories + "}}\n{\"step\": 1, \"val_loss\": 2.0}\nhalf a li");
  const std::string text = describe_run_comparison(compare_run(run_));
  const std::size_t weights = text.find("  weights");
  ASSERT_NE(weights, std::string::npos) << text;
  EXPECT_NE(text.substr(weights, text.find('\n', weights) - weights).find("equal"), std::string::npos) << text;
  EXPECT_NE(text.find("bytes apart"), std::string::npos) << text;  // the other categories are invented
}

TEST_F(CompareRun, NamesWhatIsMissing) {
  EXPECT_NE(error().find("there is no metrics.jsonl"), std::string::npos);
  write_run("");
  EXPECT_NE(error().find("holds no step"), std::string::npos);
  write_run("{\"mem\": {\"peak\": 1}}\n");
  EXPECT_NE(error().find("by_category"), std::string::npos);
  write_run("{\"mem\": {\"peak\": \"many\", \"by_category\": {}}}\n");
  EXPECT_NE(error().find("weights"), std::string::npos);
}

}  // namespace
}  // namespace virgil
