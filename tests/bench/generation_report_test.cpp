#include "bench/generation_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <nlohmann/json.hpp>

namespace virgil::bench {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

/// One cell that was measured, and one that does not fit.
GenerationTable table() {
  GenerationTable table;
  table.device = "cpu: 2 threads";
  table.peak = {.gemm_gflops_by_dtype = {{"float32", spread_of({200})}, {"bfloat16", spread_of({400})}},
                .gemm_gflops = spread_of({400}),
                .bandwidth_gb_per_s = spread_of({20})};
  table.model = trainable({.num_layers = 6, .num_heads = 6, .embedding_dim = 384, .block_size = 256, .vocab_size = 128});
  table.dtype = DType::kBFloat16;
  table.rounds = 3;
  table.budget = {.limit_bytes = 100 * kMiB, .aim_bytes = 0, .source = "max_memory is 100MiB"};
  table.cells = {{.shape = {.num_sequences = 4, .context = 256},
                  .floor = {.prompt_s = 0.030, .token_s = 0.001},
                  .planned_bytes = 48 * kMiB,
                  .held_bytes = 48 * kMiB,
                  .times = GenerationTimes{.first_token_ms = 40,
                                           .token_ms = 1.25,
                                           .first_token_share = spread_of({0.74, 0.75, 0.77}),
                                           .token_share = spread_of({0.5, 0.8, 1.2})}},
                 {.shape = {.num_sequences = 2000, .context = 256},
                  .floor = {.prompt_s = 15, .token_s = 0.1},
                  .planned_bytes = 2048 * kMiB,
                  .held_bytes = 0,
                  .times = {}}};
  return table;
}

TEST(GenerationReport, HasALineACell) {
  const std::string text = text_report(table());
  EXPECT_THAT(text, HasSubstr("device   cpu: 2 threads\n"));
  EXPECT_THAT(text, HasSubstr("20.0 GB/s"));
  EXPECT_THAT(text, HasSubstr("parameters in bfloat16"));
  EXPECT_THAT(text, HasSubstr("medians  of 3 rounds"));
  EXPECT_THAT(
      text,
      HasSubstr("  context   batch    first token of floor         then a token of floor          tokens/s       memory\n"
                "      256       4       40.00 ms    75 % ±0.8         1.250 ms    80 % ±17.5 ~      3,200     48.0 MiB\n"));
  EXPECT_THAT(text, HasSubstr("  ~ a share that this run does not tell from 100 %")) << "the token's";
}

TEST(GenerationReport, SaysWhichCellDoesNotFitAndWhy) {
  EXPECT_THAT(text_report(table()), HasSubstr("      256   2,000   does not fit: the plan needs 2.00 GiB, and 100.0 MiB may be "
                                              "used (max_memory is 100MiB)\n"));
}

TEST(GenerationReport, JsonHasFiguresOfWhatWasMeasuredAlone) {
  const nlohmann::json json = nlohmann::json::parse(json_report(table()));
  EXPECT_EQ(json["device"], "cpu: 2 threads");
  EXPECT_EQ(json["generate"]["dtype"], "bfloat16");
  const nlohmann::json& measured = json["generate"]["cells"][0];
  EXPECT_EQ(measured["fits"], true);
  EXPECT_EQ(measured["context"], 256);
  EXPECT_EQ(measured["batch"], 4);
  EXPECT_DOUBLE_EQ(measured["first_token_ms"], 40);
  EXPECT_DOUBLE_EQ(measured["first_token_floor_ms"], 30);
  EXPECT_DOUBLE_EQ(measured["token_ms"], 1.25);
  EXPECT_DOUBLE_EQ(measured["tokens_per_s"], 3200);
  EXPECT_DOUBLE_EQ(measured["token_share"]["median"], 0.8);
  EXPECT_DOUBLE_EQ(measured["token_share"]["upper"], 1);
  EXPECT_EQ(measured["planned_bytes"], measured["held_bytes"]);
  const nlohmann::json& too_large = json["generate"]["cells"][1];
  EXPECT_EQ(too_large["fits"], false);
  EXPECT_EQ(too_large["planned_bytes"], 2048 * kMiB);
  for (const char* key : {"held_bytes", "token_ms", "first_token_ms", "tokens_per_s"})
    EXPECT_FALSE(too_large.contains(key)) << key;
}

}  // namespace
}  // namespace virgil::bench
