#include "bench/loss_race.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <variant>

#include "virgil/base/child_process.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/format.h"
#include "virgil/base/paths.h"
#include "virgil/base/progress.h"
#include "virgil/base/shell_quote.h"
#include "virgil/base/stop_signal.h"
#include "virgil/config/config_text.h"
#include "virgil/config/duration.h"
#include "virgil/config/preset_files.h"
#include "virgil/report/text_measure.h"

namespace virgil::bench {

namespace {

constexpr std::int64_t kMostSeeds = 100;
constexpr std::int64_t kEvalInterval = 25;
constexpr std::int64_t kMostCommandBytes = std::int64_t{1} << 20;

bool is_set(const CommandLine& line, std::string_view key) {
  return std::ranges::find(line.set_keys, key) != line.set_keys.end();
}

/// The keys that were given, for every entrant.
std::string common_flags(const CommandLine& line) {
  std::string flags;
  for (const std::string& name : line.set_keys) {
    if (name == "out_dir" || name == "seed") continue;
    const ConfigKey& key = *find_config_key(name);
    flags += fmt::format(" --{}", name);
    if (const auto* list = std::get_if<std::vector<std::string> TrainConfig::*>(&key.member)) {
      for (const std::string& value : line.config.*(*list)) flags += fmt::format(" {}", shell_quote(value));
    } else {
      flags += fmt::format(" {}", shell_quote(plain_value(line.config, key)));
    }
  }
  if (!is_set(line, "eval_interval")) flags += fmt::format(" --eval_interval {}", kEvalInterval);
  if (!is_set(line, "sample_interval")) flags += " --sample_interval 0";
  if (!is_set(line, "save_interval")) flags += " --save_interval 0";
  return flags;
}

/// A preset or a config file by itself is train's; a word "train" at the beginning is the one of this build.
Entrant make_entrant(const std::string& given, const std::string& train) {
  const bool is_one_word = given.find_first_of(" \t\n'\"\\$`;&|<>()*?#~") == given.npos;
  if (is_one_word && (names_preset(given) || given.ends_with(".json"))) {
    return {.name = given, .command = fmt::format("{} --config {}", shell_quote(train), given)};
  }
  constexpr std::string_view kTrain = "train ";
  if (given == "train" || given.starts_with(kTrain))
    return {.name = given, .command = fmt::format("{}{}", shell_quote(train), given.substr(kTrain.size() - 1))};
  if (given.find_first_not_of(" \t\n") == given.npos) {
    throw user_error(
        "--race has an empty command; give presets or commands, as in: --race tiny 'train --config tiny --optimizer muon'");
  }
  return {given, given};
}

void refuse(const CommandLine& line) {
  if (!line.config_file.empty()) {
    throw user_error("--config goes with each of those that race: --race {} 'train --config {} --optimizer muon'",
                     line.config_file, line.config_file);
  }
  for (const char* key : {"resume", "overwrite", "model_name"}) {
    if (is_set(line, key))
      throw user_error("--{}: a race names its runs itself, and keeps what is finished; leave it out", key);
  }
  if (line.config.input.empty()) throw user_error("--to_loss needs a text to train on; give one with --input");
}

/// What a command can be told by in a path.
std::string slug(std::string_view name) {
  std::string part(name.substr(0, 40));
  std::ranges::replace_if(
      part, [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '-' && c != '.'; }, '_');
  return part;
}

class Racer {
 public:
  Racer(const LossRace& race, Logger& log) : race_(race), log_(log), files_(make_posix_file_system()) {
    stop_.foresee("at once", "the same command goes on, keeping the runs that are finished", false);
    files_->create_directories(race_.folder);
  }

  RaceRun run(std::size_t entrant, std::int64_t seed) {
    const std::string name = fmt::format("{}-{}-seed{}", entrant + 1, slug(race_.entrants[entrant].name), seed);
    RaceRun run{.seed = seed, .command = {}, .folder = race_.folder / name, .result = {}};
    run.command = fmt::format("{}{} --seed {} --out_dir {} --model_name {}", race_.entrants[entrant].command,
                              race_.common_flags, seed, shell_quote(race_.folder.string()), shell_quote(name));
    if (was_run(run)) {
      run.result = *result_of(run);
      log_.info(fmt::format("race     {}: kept from before; {}", name, describe(run.result)));
      return run;
    }
    log_.info(fmt::format("race     {}: {}", name, run.command));
    files_->remove_all(command_file(run));
    watch(run);
    write_file_atomically(*files_, command_file(run), run.command + "\n");
    log_.info(fmt::format("race     {}: {}", name, describe(run.result)));
    return run;
  }

 private:
  [[nodiscard]] static std::filesystem::path command_file(const RaceRun& run) { return run.folder.string() + ".command"; }
  [[nodiscard]] static std::filesystem::path log_file(const RaceRun& run) { return run.folder.string() + ".log"; }

  /// The file is written once the run is over.
  [[nodiscard]] bool was_run(const RaceRun& run) const {
    return path_exists(command_file(run)) && read_file(command_file(run), kMostCommandBytes) == run.command + "\n" &&
           result_of(run).has_value();
  }

  [[nodiscard]] std::optional<LossResult> result_of(const RaceRun& run) const {
    try {
      return loss_result(read_run_history(run.folder), race_.target);
    } catch (const UserError&) {
      return std::nullopt;  // no step yet
    }
  }

  [[nodiscard]] std::string describe(const LossResult& result) const {
    if (result.seconds)
      return fmt::format("{} after {} steps, {}", race_.target.loss, result.steps, format_duration(*result.seconds));
    if (!std::isfinite(result.best_loss)) return "no evaluation in time";
    return fmt::format("not {}: the best was {:.4f} at step {}", race_.target.loss, result.best_loss, result.best_step);
  }

  void watch(RaceRun& run) {
    constexpr auto kLook = std::chrono::milliseconds(50);
    constexpr auto kBetweenReads = std::chrono::seconds(5);  // a look takes time from the run
    ChildProcess process = start(run);
    auto last_read = std::chrono::steady_clock::now();
    bool asked = false;
    std::optional<int> status;
    while (!(status = process.exit_status())) {
      std::this_thread::sleep_for(kLook);
      const bool is_due = std::chrono::steady_clock::now() - last_read >= kBetweenReads;
      if (asked || (!stop_.requested() && !is_due)) continue;
      last_read = std::chrono::steady_clock::now();
      const std::optional<LossResult> result = stop_.requested() ? std::nullopt : result_of(run);
      asked = stop_.requested() || (result && is_decided(*result, race_.target));
      if (asked) process.ask_to_stop();
    }
    if (stop_.requested()) throw Stopped();
    if (*status != 0 && !asked) {
      throw user_error("{}: ended with exit status {}, as {} says; what failed: {}", run.folder.string(), *status,
                       log_file(run).string(), run.command);
    }
    try {
      run.result = loss_result(read_run_history(run.folder), race_.target);
    } catch (const UserError& error) {
      throw user_error("{}; the program left no figures there as train does, see {}", error.what(), log_file(run).string());
    }
  }

  [[nodiscard]] ChildProcess start(const RaceRun& run) const {
    const auto open = [&](const char* path, const char* mode) {
      std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, mode), std::fclose);
      if (!file) throw user_error("{}: cannot be opened: {}", path, std::strerror(errno));
      return file;
    };
    const auto nothing = open("/dev/null", "re");
    const auto output = open(log_file(run).c_str(), "we");
    const bool stands = path_exists(run.folder);
    const std::array<std::string, 2> words = {"-c", "exec " + run.command + (stands ? " --overwrite" : "")};
    return {"/bin/sh", words, {.in = fileno(nothing.get()), .out = fileno(output.get()), .err = fileno(output.get())}};
  }

  const LossRace& race_;
  Logger& log_;
  std::unique_ptr<FileSystem> files_;
  StopSignal stop_;
};

}  // namespace

LossRace make_loss_race(const ToolArguments& arguments, const CommandLine& line, const std::string& train) {
  refuse(line);
  LossRace race;
  race.target.loss = arguments.positive_number("to_loss").value();
  if (!arguments.has("race")) {
    throw user_error("--to_loss needs something to race: --race tiny 'train --config tiny --optimizer muon'");
  }
  for (const std::string& given : arguments.values("race")) race.entrants.push_back(make_entrant(given, train));
  const std::int64_t seeds = arguments.positive_integer("seeds").value_or(3);
  if (seeds > kMostSeeds) throw user_error("--seeds is {}, but {} are the most", seeds, kMostSeeds);
  for (std::int64_t i = 0; i < seeds; ++i) race.seeds.push_back(static_cast<std::int64_t>(line.config.seed) + i);
  if (arguments.has("within")) race.target.within_s = parse_duration(*arguments.value("within"));
  race.folder = std::filesystem::path(line.config.out_dir) / "to_loss";
  race.common_flags = common_flags(line);
  return race;
}

double measure_bytes_per_character(const TrainConfig& config, Logger& log) {
  TrainConfig characters = config;
  characters.tokenizer = "char";
  const TextMeasure measure = measure_text(characters, log, nullptr);
  if (measure.tokenizer != characters.tokenizer) {
    throw user_error("--to_loss counts in nats a character, but the input is token files; give the texts they were made from");
  }
  return measure.bytes_per_token();
}

std::vector<std::vector<RaceRun>> run_loss_race(const LossRace& race, Logger& log) {
  Racer racer(race, log);
  std::vector<std::vector<RaceRun>> runs(race.entrants.size());
  for (std::size_t round = 0; round < race.seeds.size(); ++round) {
    for (std::size_t turn = 0; turn < race.entrants.size(); ++turn) {
      const std::size_t entrant = round % 2 == 0 ? turn : race.entrants.size() - 1 - turn;
      runs[entrant].push_back(racer.run(entrant, race.seeds[round]));
    }
  }
  return runs;
}

}  // namespace virgil::bench
