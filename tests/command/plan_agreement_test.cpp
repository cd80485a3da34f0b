// calc_params plans what train plans: the same flags, the same bytes and the same batch.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "train/tiny_run.h"
#include "virgil/base/format.h"
#include "virgil/base/logging.h"
#include "virgil/command/calc_params.h"
#include "virgil/report/subject.h"
#include "virgil/train/training_run.h"

namespace virgil {
namespace {

using Flags = std::vector<std::string>;

/// What `train --dry_run` says of its plan: "6.21 MiB", "3".
struct ToldPlan {
  std::string memory;
  std::int64_t batch_size = 0;
};

std::string word_after(const std::string& line, const std::string& start) {
  return line.substr(start.size(), line.find(" planned") - start.size());
}

ToldPlan dry_run(const Flags& flags) {
  Flags words = flags;
  words.emplace_back("--dry_run");
  const CommandLine line = parse_train_command_line(words);
  test_support::UnsyncedFileSystem files;
  test_support::RecordingSink sink;
  static_cast<void>(run_training(line, files, sink, [] { return false; }));
  ToldPlan told;
  for (const std::string& text : sink.lines) {
    if (text.starts_with("memory   ")) told.memory = word_after(text, "memory   ");
    // "run      8 steps of 64 tokens (2 x 16 x 2) = ..."
    if (text.starts_with("run      ")) told.batch_size = std::stoll(text.substr(text.find('(') + 1));
  }
  return told;
}

ToldPlan calculated(const Flags& flags) {
  Flags words = flags;
  words.emplace_back("--json");
  std::istringstream in;
  std::ostringstream out;
  NullLogger log;
  static_cast<void>(run_calc_params(words, in, out, log));
  const nlohmann::json plan = nlohmann::json::parse(out.str()).at("plan");
  return {format_bytes(plan.at("total_bytes")), plan.at("batch_size")};
}

TEST(PlanAgreement, CalcParamsPlansWhatTrainPlans) {
  const test_support::TemporaryDirectory folder;
  test_support::write_all(folder.path() / "input.txt", test_support::tiny_text());
  const Flags common = {"--input",        (folder.path() / "input.txt").string(),
                        "--out_dir",      (folder.path() / "runs").string(),
                        "--cache_dir",    "none",
                        "--tokenizer",    "byte",
                        "--device",       "cpu",
                        "--threads",      "1",
                        "--n_layer",      "2",
                        "--n_head",       "2",
                        "--n_embd",       "32",
                        "--block_size",   "16",
                        "--max_iters",    "8",
                        "--warmup_iters", "2"};
  const std::vector<Flags> types = {{"--dtype", "float32"},
                                    {"--dtype", "bfloat16"},
                                    {"--dtype", "bfloat16", "--master_weights", "false", "--recompute", "block"},
                                    {"--dtype", "float32", "--optimizer_state_dtype", "bfloat16", "--recompute", "gelu"}};
  const std::vector<Flags> batches = {{"--batch_size", "3"},
                                      {"--batch_size", "2", "--grad_accum_steps", "3", "--sample_interval", "0"},
                                      {"--batch_size", "auto", "--max_memory", "3MB"},
                                      {"--batch_size", "auto", "--total_batch_size", "768", "--max_memory", "3MB"},
                                      {"--batch_size", "4", "--logits_chunk", "20", "--max_memory", "500GB"}};
  for (const Flags& type : types) {
    for (const Flags& batch : batches) {
      Flags flags = common;
      flags.insert(flags.end(), type.begin(), type.end());
      flags.insert(flags.end(), batch.begin(), batch.end());
      const ToldPlan trained = dry_run(flags);
      const ToldPlan planned = calculated(flags);
      const std::string what = fmt::format("{} {}", fmt::join(type, " "), fmt::join(batch, " "));
      EXPECT_EQ(planned.memory, trained.memory) << what;
      EXPECT_EQ(planned.batch_size, trained.batch_size) << what;
    }
  }
}

TEST(PlanAgreement, MaxMemoryDoesNotMakeMemory) {
  CommandLine line;
  line.config.max_memory = "500TB";
  const PlannedSubject planned = plan_subject(make_subject({}, line, {}));
  EXPECT_EQ(planned.budget.limit_bytes, planned.machine->free_bytes);
  EXPECT_LT(planned.budget.aim_bytes, planned.budget.limit_bytes);
}

}  // namespace
}  // namespace virgil
