#include "virgil/report/scaling_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "support/repository.h"
#include "support/user_error.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string presets_folder() { return test_support::repository_path("configs"); }
constexpr std::array<std::int64_t, 11> kCounts = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

std::vector<ScalingTable> predict(const std::vector<std::string>& words) {
  const auto [line, own] = parse_program_line(words, {.program = "bench", .own = scaling_flags()});
  return predict_tables(own, line, presets_folder());
}

nlohmann::json predicted_json(const std::vector<std::string>& words) {
  return nlohmann::json::parse(scaling_json(predict(words)));
}

std::string scaling_error(const std::vector<std::string>& words) {
  return user_error_of([&] { (void)predict(words); });
}

std::vector<std::string> on_150m(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--config", presets_folder() + "/150M_1024.json"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Two layers of 64 in float32, four sequences of 64 tokens a step.
std::vector<std::string> on_small(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--n_layer",    "2",   "--n_head",     "2", "--n_embd", "64",     "--block_size", "64",
                                    "--vocab_size", "500", "--batch_size", "4", "--dtype",  "float32"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

const nlohmann::json& point_of(const nlohmann::json& cluster, std::int64_t gpus) {
  return *std::ranges::find_if(cluster.at("points"), [&](const nlohmann::json& point) { return point.at("gpus") == gpus; });
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

/// "1,024" or "12.5M" as a number, and half a unit of its last digit.
struct Printed {
  double value = 0;
  double half_unit = 0;
};
Printed read_printed(std::string text) {
  std::erase(text, ',');
  const std::map<char, double> suffixes = {{'K', 1e3}, {'M', 1e6}, {'G', 1e9}};
  double unit = 1;
  if (const auto suffix = suffixes.find(text.back()); suffix != suffixes.end()) {
    unit = suffix->second;
    text.pop_back();
  }
  const std::size_t point = text.find('.');
  const auto digits = point == text.npos ? 0.0 : static_cast<double>(text.size() - point - 1);
  // Beside the rounding to this digit, that of the sums here: a few units of 2^-53 of at most 1e10.
  return {std::stod(text) * unit, 0.5 * unit / std::pow(10, digits) + 1e-5};
}

void expect_printed(const std::string& text, double value) {
  const Printed printed = read_printed(text);
  EXPECT_NEAR(printed.value, value, printed.half_unit) << text;
}

/// The lines that begin with one of the numbers of GPUs.
std::vector<std::vector<std::string>> rows_of(const std::string& report) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream in(report);
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> words = words_of(line);
    if (words.size() == 2 + 3 * 6 && words.back() == "%") rows.push_back(std::move(words));
  }
  return rows;
}

TEST(ScalingReport, HasEveryPresetLinkAndNumberOfGpus) {
  const nlohmann::json list = predicted_json({});
  std::vector<std::string> models;
  for (const nlohmann::json& table : list) {
    models.push_back(table.at("model"));
    std::vector<std::string> clusters;
    for (const nlohmann::json& cluster : table.at("clusters")) {
      clusters.push_back(cluster.at("name"));
      ASSERT_EQ(cluster.at("points").size(), kCounts.size());
      for (std::size_t i = 0; i < kCounts.size(); ++i) EXPECT_EQ(cluster.at("points").at(i).at("gpus"), kCounts[i]);
    }
    EXPECT_THAT(clusters, ElementsAre("PCIe 4 x16, 100 Gb/s", "PCIe 4 x16, 400 Gb/s", "NVLink 3, 100 Gb/s",
                                      "NVLink 3, 400 Gb/s", "NVLink 4, 100 Gb/s", "NVLink 4, 400 Gb/s"));
  }
  EXPECT_THAT(models, ElementsAre("tiny", "tiny_fast", "small", "150M", "150M_1024", "200M", "200M_1024", "250M", "250M_1024",
                                  "350M_1024", "500M_1024"));
}

// The preset written out once more: what the report says of it is what the model says.
TEST(ScalingReport, FiguresAreTheModels) {
  const nlohmann::json json = predicted_json(on_150m({})).at(0);
  const TrainingShape shape = {
      .model =
          {.num_layers = 16, .num_heads = 12, .embedding_dim = 768, .block_size = 1024, .vocab_size = 50257, .dropout = 0.1F},
      .batch_size = 24,
      .grad_accum_steps = 4,
      .recompute = Recompute::kGelu,
      .dtype = DType::kBFloat16};
  const double micro_step_s = predicted_micro_step_s(shape, 989, 0.4);
  EXPECT_DOUBLE_EQ(json.at("micro_step_ms"), 1e3 * micro_step_s);
  const std::vector<Cluster> clusters = usual_clusters(1);
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    const nlohmann::json& cluster = json.at("clusters").at(c);
    EXPECT_EQ(cluster.at("inside_bytes_per_s"), clusters[c].inside.bytes_per_s);
    EXPECT_EQ(cluster.at("card_bytes_per_s"), clusters[c].between.bytes_per_s);
    for (const ScalingPoint& point : predict_scaling(shape, micro_step_s, clusters[c], kCounts)) {
      const nlohmann::json& said = point_of(cluster, point.gpus);
      EXPECT_EQ(said.at("tokens_per_step"), point.gpus * 24 * 4 * 1024);
      EXPECT_DOUBLE_EQ(said.at("tokens_per_s"), point.tokens_per_s);
      EXPECT_DOUBLE_EQ(said.at("efficiency"), point.efficiency);
      EXPECT_DOUBLE_EQ(said.at("step_ms"), 1e3 * point.timeline.step_s);
      const auto part = [&](const char* name) { return said.at(name).get<double>(); };
      EXPECT_NEAR(part("compute_ms") + part("exposed_ms") + part("gather_ms"), said.at("step_ms"), 1e-9);
      EXPECT_EQ(said.at("hides"), point.hides());
    }
  }
}

// A step of a second hides all but what the end of the backward pass completes: the first layer's 12 x 64^2 gradients, those of
// 576 rows of 64, and five norms of 64, padded to 64 for each of R. Each of the three is reduced and gathered, in float32.
TEST(ScalingReport, ARowIsAsCountedByHand) {
  const auto exposed_ms = [](std::int64_t gpus, double cards) {
    const auto in_machine = static_cast<double>(std::min<std::int64_t>(gpus, 8));
    const auto machines = static_cast<double>((gpus + 7) / 8);
    const double bytes = 4.0 * static_cast<double>(12 * 64 * 64 + 576 * 64 + (gpus == 2 ? 384 : 1024));
    const double inside_s = bytes * (in_machine - 1) / in_machine / 25.6e9 + 3 * (in_machine - 1) * 5e-6;
    const double between_s = bytes * (machines - 1) / machines / (10e9 * cards) + 3 * (machines - 1) * 10e-6;
    return 2e3 * (inside_s + between_s);
  };
  for (const int cards : {1, 4}) {
    const std::vector<std::string> words = on_small({"--step_ms", "1000", "--cards", std::to_string(cards)});
    const nlohmann::json cluster = predicted_json(words).at(0).at("clusters").at(0);
    EXPECT_EQ(cluster.at("cards_per_machine"), cards);
    for (const std::int64_t gpus : {2, 16}) {
      const nlohmann::json& point = point_of(cluster, gpus);
      const double exposed = exposed_ms(gpus, cards);
      // It is the difference of two sums of about a second.
      EXPECT_NEAR(point.at("exposed_ms"), exposed, 1e-10) << gpus;
      EXPECT_NEAR(point.at("step_ms"), 1000 + exposed, 1e-9) << gpus;
      EXPECT_NEAR(point.at("tokens_per_s"), static_cast<double>(gpus * 4 * 64) / (1 + exposed / 1e3), 1e-6) << gpus;
      EXPECT_EQ(point.at("hides"), true);
    }
    EXPECT_THAT(describe_scaling(predict(words)), HasSubstr(cards == 1 ? "1 network card each" : "4 network cards each"));
  }
}

TEST(ScalingReport, TheTablesRowsAreTheJsons) {
  const std::vector<ScalingTable> tables = predict({});
  const nlohmann::json list = nlohmann::json::parse(scaling_json(tables));
  const auto rows = rows_of(describe_scaling(tables));
  ASSERT_EQ(rows.size(), list.size() * kCounts.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const nlohmann::json& table = list.at(row / kCounts.size());
    const std::int64_t gpus = kCounts.at(row % kCounts.size());
    EXPECT_EQ(read_printed(rows[row][0]).value, gpus);
    EXPECT_EQ(read_printed(rows[row][1]).value, point_of(table.at("clusters").at(0), gpus).at("tokens_per_step"));
    for (std::size_t c = 0; c < 6; ++c) {
      const nlohmann::json& point = point_of(table.at("clusters").at(c), gpus);
      expect_printed(rows[row][2 + 3 * c], point.at("tokens_per_s"));
      expect_printed(rows[row][3 + 3 * c], 100 * point.at("efficiency").get<double>());
    }
  }
}

TEST(ScalingReport, TheSummarysRowsAreTheJsons) {
  const std::vector<ScalingTable> tables = predict({});
  const std::string summary = summarize_scaling(tables);
  EXPECT_THAT(describe_scaling(tables), HasSubstr("\n" + summary));
  EXPECT_THAT(describe_scaling(predict(on_150m({}))), Not(HasSubstr("Efficiency in %"))) << "one model is its own summary";
  std::istringstream lines(summary);
  std::string line;
  for (int heading = 0; heading < 3; ++heading) std::getline(lines, line);
  for (const nlohmann::json& table : nlohmann::json::parse(scaling_json(tables))) {
    std::getline(lines, line);
    const std::vector<std::string> words = words_of(line);
    ASSERT_EQ(words.size(), 1U + 4 * 6) << line;
    EXPECT_EQ(words[0], table.at("model").get<std::string>());
    for (std::size_t c = 0; c < 6; ++c) {
      const nlohmann::json& cluster = table.at("clusters").at(c);
      const std::string* cell = &words[1 + 4 * c];
      expect_printed(cell[0], 100 * point_of(cluster, 8).at("efficiency").get<double>());
      expect_printed(cell[1], 100 * point_of(cluster, 64).at("efficiency").get<double>());
      expect_printed(cell[2], 100 * point_of(cluster, 1024).at("efficiency").get<double>());
      const auto late =
          std::ranges::find_if(cluster.at("points"), [](const auto& point) { return point.at("hides") == false; });
      const bool hides = late == cluster.at("points").end();
      EXPECT_EQ(cell[3], hides ? "-" : late->at("gpus") == 1024 ? "1,024" : late->at("gpus").dump()) << line;
    }
  }
}

TEST(ScalingReport, SaysWhereCommunicationStopsHiding) {
  const std::string never = describe_scaling(predict(on_small({"--step_ms", "1000"})));
  EXPECT_THAT(never, AllOf(HasSubstr("hides up to 1,024 GPUs; 95 % or more throughout"), Not(HasSubstr("stops hiding"))));
  const std::string at_once = describe_scaling(predict(on_small({"--step_ms", "0.01"})));
  EXPECT_THAT(at_once, AllOf(HasSubstr("stops hiding at 2 GPUs ("), HasSubstr("of a step's 0.0 ms"), HasSubstr("% from 2")));
}

TEST(ScalingFlags, StepMsReplacesTheAssumption) {
  const std::string assumed = describe_scaling(predict(on_150m({})));
  EXPECT_THAT(assumed, AllOf(HasSubstr("Nothing of it is measured"),
                             HasSubstr("40 % of the 989 TFLOP/s of an H100 in bfloat16"), HasSubstr("assumed, not measured")));
  const std::string given = describe_scaling(predict(on_150m({"--step_ms", "400"})));
  EXPECT_THAT(
      given, AllOf(HasSubstr("the step of one GPU is given"), HasSubstr("micro-step of 100.00 ms (a step of 400 ms, as given)"),
                   Not(HasSubstr("Nothing")), Not(HasSubstr("assumed")), Not(HasSubstr("H100"))));
  const nlohmann::json json = predicted_json(on_150m({"--step_ms=400"})).at(0);
  EXPECT_EQ(json.at("step_is_given"), true);
  EXPECT_DOUBLE_EQ(json.at("micro_step_ms"), 100);
  const nlohmann::json& alone = point_of(json.at("clusters").at(0), 1);
  // A sum of a step's parts, each rounded to 2^-53 of it.
  EXPECT_NEAR(alone.at("tokens_per_s"), 4 * 24 * 1024 / 0.4, 1e-8);
  EXPECT_EQ(predicted_json(on_150m({})).at(0).at("step_is_given"), false);
}

TEST(ScalingFlags, GpuAndMfuSetTheRate) {
  const auto micro_step_ms = [](const std::vector<std::string>& flags) {
    return predicted_json(on_150m(flags)).at(0).at("micro_step_ms").get<double>();
  };
  const double usual = micro_step_ms({});
  EXPECT_DOUBLE_EQ(micro_step_ms({"--gpu", "h100 sxm", "--mfu", "40"}), usual) << "the defaults, by an alias";
  EXPECT_NEAR(micro_step_ms({"--mfu", "20"}), 2 * usual, 1e-9 * usual);
  EXPECT_NEAR(micro_step_ms({"--mfu", "1.5"}), 40 / 1.5 * usual, 1e-9 * usual) << "per cent, not a share";
  EXPECT_NEAR(micro_step_ms({"--gpu", "A100"}), 989.0 / 312 * usual, 1e-9 * usual);
  // A T4 has no bfloat16: dtype auto is float16 there, at its rate on tensor cores. A V100 is not planned for.
  EXPECT_NEAR(micro_step_ms({"--gpu", "T4"}), 989.0 / 65 * usual, 1e-9 * usual);
  EXPECT_THAT(describe_scaling(predict(on_150m({"--gpu", "T4"}))), HasSubstr("65 TFLOP/s of an T4 in float16"));
  EXPECT_THAT(user_error_of([&] { (void)predict(on_150m({"--gpu", "V100"})); }), HasSubstr("7.5"));
  EXPECT_THAT(describe_scaling(predict(on_150m({"--dtype", "float32"}))), HasSubstr("67 TFLOP/s of an H100 in float32"));
}

TEST(ScalingFlags, KeysComeOverEveryPreset) {
  const nlohmann::json list = predicted_json({"--zero_stage", "1", "--grad_reduce_dtype", "bfloat16"});
  EXPECT_EQ(list.size(), 11U);
  for (const nlohmann::json& table : list) {
    EXPECT_EQ(table.at("zero_stage"), 1);
    EXPECT_EQ(table.at("grad_reduce_dtype"), "bfloat16");
    EXPECT_GT(point_of(table.at("clusters").at(0), 2).at("gather_ms"), 0) << "weights, after the update";
  }
  const nlohmann::json usual = predicted_json({});
  EXPECT_EQ(usual.at(4).at("gradient_size_bytes"), 4 * 152691456);
  EXPECT_EQ(list.at(4).at("gradient_size_bytes"), 2 * 152691456);
  EXPECT_EQ(point_of(usual.at(4).at("clusters").at(0), 2).at("gather_ms"), 0);
}

TEST(ScalingFlags, SizesAloneAreOneModel) {
  const nlohmann::json list = predicted_json(on_small({}));
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list.at(0).at("model"), "the model of these flags");
  EXPECT_EQ(list.at(0).at("block_size"), 64);
  EXPECT_EQ(list.at(0).at("batch_size"), 4);
  EXPECT_EQ(list.at(0).at("recompute"), "none");
  EXPECT_EQ(predicted_json(on_150m({"--n_layer", "3"})).at(0).at("model"), "150M_1024");
}

TEST(ScalingFlags, BadInputIsNamed) {
  EXPECT_THAT(scaling_error({"--gpu", "RTX 4091"}),
              AllOf(HasSubstr("--gpu \"RTX 4091\""), HasSubstr("did you mean \"RTX 4090\"?"), HasSubstr("--step_ms")));
  EXPECT_THAT(scaling_error({"--gpu", ""}), HasSubstr("--gpu \"\" is not in data/gpus.json"));
  for (const char* mfu : {"0", "-1", "nan", "inf", "high", "40%", ""}) {
    EXPECT_THAT(scaling_error({std::string("--mfu=") + mfu}),
                HasSubstr(std::string("--mfu is \"") + mfu + "\", but takes a positive"));
  }
  EXPECT_THAT(scaling_error({"--mfu", "101"}),
              HasSubstr("--mfu is 101, a percentage of the GPU's peak; give one of at most 100"));
  EXPECT_THAT(scaling_error({"--mfu", "0.4"}), AllOf(HasSubstr("--mfu is 0.4, a percentage"), HasSubstr("such as 40 for 0.4")));
  for (const char* step_ms : {"0", "-250", "nan", "inf", "fast", ""}) {
    EXPECT_THAT(scaling_error(on_150m({std::string("--step_ms=") + step_ms})),
                HasSubstr(std::string("--step_ms is \"") + step_ms + "\", but takes a positive"));
  }
  for (const char* step_ms : {"1e-4", "1e12"}) {
    EXPECT_THAT(scaling_error(on_150m({"--step_ms", step_ms})),
                HasSubstr("give the milliseconds of a step, between 0.001 and 86400000"));
  }
  EXPECT_THAT(scaling_error(on_150m({"--step_ms", "1e999"})), HasSubstr("--step_ms is \"1e999\", which is out of range"));
  for (const char* cards : {"0", "-1", "1.5", "many", ""}) {
    EXPECT_THAT(scaling_error({std::string("--cards=") + cards}),
                HasSubstr(std::string("--cards is \"") + cards + "\", but takes a whole number of at least 1"));
  }
  EXPECT_THAT(scaling_error({"--cards", "9"}), HasSubstr("--cards is 9; give 1 to 8"));
  EXPECT_THAT(scaling_error({"--cards", "99999999999999999999"}), AllOf(HasSubstr("--cards"), HasSubstr("out of range")));
  EXPECT_THAT(scaling_error({"--config", "no/such.json"}), HasSubstr("no/such.json"));
  EXPECT_THAT(scaling_error({"--mfuu", "40"}), HasSubstr("did you mean --mfu?"));
  EXPECT_THAT(scaling_error({"--step_ms"}), HasSubstr("--step_ms: its value is missing"));
}

TEST(ScalingFlags, ThatExcludeEachOtherAreNamed) {
  EXPECT_THAT(scaling_error(on_150m({"--step_ms", "250", "--mfu", "30"})),
              HasSubstr("--step_ms is 250, the step that --mfu 30 would"));
  EXPECT_THAT(scaling_error(on_150m({"--gpu", "A100", "--step_ms", "250"})),
              AllOf(HasSubstr("--gpu A100"), HasSubstr("one of the two")));
  EXPECT_THAT(scaling_error({"--step_ms", "250"}), AllOf(HasSubstr("--step_ms is 250"), HasSubstr("--config")));
  EXPECT_THAT(scaling_error(on_150m({"--batch_size", "auto"})),
              AllOf(HasSubstr("batch_size is auto"), HasSubstr("give a number")));
  // What train refuses is not predicted; of the presets the first that cannot is named.
  const std::vector<std::string> rounded = {"--zero_stage", "2", "--grad_reduce_dtype", "bfloat16"};
  EXPECT_THAT(scaling_error(on_150m(rounded)),
              AllOf(HasSubstr("grad_reduce_dtype is bfloat16 with zero_stage 2 and 4 micro-steps")));
  EXPECT_THAT(scaling_error(rounded), HasSubstr("small: grad_reduce_dtype is bfloat16"));
  EXPECT_THAT(scaling_error({"--batch_size", "7"}), AllOf(HasSubstr(": total_batch_size is"), HasSubstr("batch_size")));
}

/// What the documentation shows is what the program says now.
void expect_in_docs(const std::string& report, const std::string& command) {
  const std::string docs = read_file(test_support::repository_path("docs/distributed.md"), 1 << 20);
  EXPECT_TRUE(docs.find("```\n" + report + "```\n") != docs.npos)
      << "docs/distributed.md, \"Scaling on paper\", does not have what " << command << " says:\n"
      << report;
}

TEST(GeneratedDocs, ScalingOf150MIsFresh) {
  expect_in_docs(describe_scaling(predict(on_150m({}))), "bench --scaling --config configs/150M_1024.json");
}

TEST(GeneratedDocs, ScalingSummaryIsFresh) { expect_in_docs(summarize_scaling(predict({})), "bench --scaling, at its end,"); }

}  // namespace
}  // namespace virgil
