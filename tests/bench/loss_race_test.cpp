#include "bench/loss_race.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <string>
#include <vector>

#include "bench/bench_flags.h"
#include "bench/loss_race_report.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/logging.h"

namespace virgil::bench {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

LossRace race_of(const std::vector<std::string>& words) {
  const std::vector<ToolFlag> flags = bench_flags();
  const ProgramLine line =
      parse_program_line(words, {.program = "bench", .own = flags, .words_mean = WordsMean::kConfigOrInput});
  EXPECT_EQ(choose_mode(line.own), BenchMode::kToLoss);
  return make_loss_race(line.own, line.line, "build/train");
}

TEST(LossRace, TakesPresetsAndCommands) {
  const LossRace race = race_of({"--to_loss", "1.5", "--input", "a b.txt", "--race", "tiny", "train --config tiny --n_layer 2",
                                 "python3 x.py", "--seeds", "2", "--threads", "2", "--within", "1m", "--seed", "7"});
  ASSERT_EQ(race.entrants.size(), 3U);
  EXPECT_EQ(race.entrants[0].command, "build/train --config tiny");
  EXPECT_EQ(race.entrants[1].command, "build/train --config tiny --n_layer 2");
  EXPECT_EQ(race.entrants[2].command, "python3 x.py");
  EXPECT_THAT(race.seeds, testing::ElementsAre(7, 8));
  EXPECT_EQ(race.target.loss, 1.5);
  EXPECT_EQ(race.target.within_s, 60);
  EXPECT_THAT(race.common_flags, AllOf(HasSubstr(" --input 'a b.txt'"), HasSubstr(" --threads 2"),
                                       HasSubstr(" --eval_interval 25"), Not(HasSubstr("seed"))));
}

TEST(LossRace, RefusesWhatItCannotRace) {
  const std::vector<std::string> good = {"--to_loss", "1.5", "--input", "a.txt", "--race", "tiny"};
  const auto message = [&](std::vector<std::string> more) {
    std::vector<std::string> words = good;
    words.insert(words.end(), more.begin(), more.end());
    return user_error_of([&] { static_cast<void>(race_of(words)); });
  };
  EXPECT_THAT(message({"--config", "tiny"}), HasSubstr("tiny.json 'train --config"));
  EXPECT_THAT(message({"--model_name", "x"}), HasSubstr("--model_name"));
  EXPECT_THAT(message({"--seeds", "1000"}), HasSubstr("100 are the most"));
  EXPECT_THAT(message({"--race", " "}), HasSubstr("empty command"));
  EXPECT_THAT(message({"--to_loss", "-1"}), HasSubstr("--to_loss"));
  EXPECT_THAT(user_error_of([] { static_cast<void>(race_of({"--to_loss", "1", "--race", "tiny"})); }), HasSubstr("--input"));
  EXPECT_THAT(user_error_of([] { static_cast<void>(race_of({"--to_loss", "1", "--input", "a.txt"})); }), HasSubstr("--race"));
}

/// Programs that write what train would: a second a step, the loss of an evaluation every other step.
class LossRaceRuns : public testing::Test {
 protected:
  LossRaceRuns() {
    std::ofstream(folder_.path() / "fake.sh") << R"(first=$1; shift
while [ $# -gt 0 ]; do
  case $1 in --out_dir) out=$2;; --model_name) name=$2;; esac
  shift
done
mkdir -p "$out/$name"; echo x >> "$out/$name/starts"
for step in 0 1 2 3 4 5 6; do
  printf '{"step":%d,"loss":9,"dt_ms":1000,"tokens_per_s":50' $step
  if [ $((step % 2)) = 0 ]; then printf ',"val_loss":9,"val_bpb":%d.25' $((first - step)); fi
  printf '}\n'
done > "$out/$name/metrics.jsonl"
)";
  }

  [[nodiscard]] LossRace race(const std::vector<std::string>& firsts) const {
    LossRace race;
    race.target = {.loss = 4.5, .bytes_per_character = 1 / std::numbers::ln2};
    race.seeds = {1, 2};
    race.folder = folder_.path() / "runs";
    for (const std::string& first : firsts) {
      race.entrants.push_back({"from " + first, fmt::format("sh {} {}", (folder_.path() / "fake.sh").string(), first)});
    }
    return race;
  }

  test_support::TemporaryDirectory folder_;
  NullLogger log_;
};

TEST_F(LossRaceRuns, TellWhenTheLossWasFound) {
  const LossRace race = this->race({"8", "6", "20"});
  const auto runs = run_loss_race(race, log_);
  ASSERT_EQ(runs.size(), 3U);
  ASSERT_EQ(runs[0].size(), 2U);
  EXPECT_EQ(runs[0][0].result.seconds, 4);
  EXPECT_EQ(runs[0][1].result.steps, 4);
  EXPECT_EQ(runs[1][0].result.seconds, 2);
  EXPECT_FALSE(runs[2][0].result.seconds);
  EXPECT_NEAR(runs[2][0].result.best_loss, 14.25, 1e-9);
  const std::string text = text_report(race, runs, "a machine");
  EXPECT_THAT(text, AllOf(HasSubstr("4.5 nats a character"), HasSubstr("on a machine; 2 seeds"), HasSubstr("0 of 2")));
  EXPECT_THAT(text, testing::ContainsRegex("from 6 +2 of 2 +2 +2s +2s\\.\\.2s +0\\.50"));
  EXPECT_THAT(json_report(race, runs, "m"), AllOf(HasSubstr("\"ratio\": 0.5"), HasSubstr("\"seconds\": null")));
}

TEST_F(LossRaceRuns, AreKeptWhereTheCommandIsTheSame) {
  const auto starts = [&](const RaceRun& run) { return std::filesystem::file_size(run.folder / "starts") / 2; };
  LossRace race = this->race({"8"});
  static_cast<void>(run_loss_race(race, log_));
  const auto again = run_loss_race(race, log_);
  EXPECT_EQ(again[0][0].result.seconds, 4);
  EXPECT_EQ(starts(again[0][0]), 1U);
  race.common_flags = " --threads 2";
  EXPECT_EQ(starts(run_loss_race(race, log_)[0][0]), 2U) << "another command is another run";
}

TEST_F(LossRaceRuns, EndWithTheProgramThatFails) {
  LossRace race = this->race({"8"});
  race.entrants[0].command = "sh -c 'exit 3'";
  EXPECT_THAT(user_error_of([&] { static_cast<void>(run_loss_race(race, log_)); }), HasSubstr("exit status 3"));
  race.entrants[0].command = "true";
  EXPECT_THAT(user_error_of([&] { static_cast<void>(run_loss_race(race, log_)); }),
              HasSubstr("left no figures there as train does"));
}

}  // namespace
}  // namespace virgil::bench
