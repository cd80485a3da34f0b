// The program `sweep`: its flags, its runs one after the other or side by side, and what it says of them.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "virgil/base/child_process.h"
#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/format.h"
#include "virgil/base/paths.h"
#include "virgil/base/progress.h"
#include "virgil/base/shell_quote.h"
#include "virgil/base/stop_signal.h"
#include "virgil/command/program.h"
#include "virgil/command/report_command.h"
#include "virgil/command/sweep_command.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/program_version.h"
#include "virgil/format/checkpoint.h"
#include "virgil/run_report/report_page.h"
#include "virgil/run_report/run_digest.h"
#include "virgil/run_report/run_history.h"

namespace virgil {

namespace {

constexpr std::size_t kMostInReport = 64;

std::string sweep_help() {
  const std::vector<ToolFlag> flags = {
      {"sweep_name", ToolFlag::Takes::kValue, "NAME", "Folder in out_dir that holds the runs and the report. [sweep]"},
      {"jobs", ToolFlag::Takes::kValue, "N", "Runs at once; with more than one, each writes to a log beside its folder. [1]"},
      {"zip", ToolFlag::Takes::kNothing, "",
       "The first values of all keys in one run, the second in the next, instead of each with each."},
      {"dry_run", ToolFlag::Takes::kNothing, "", "Print the commands of the runs, and train nothing."},
  };
  return fmt::format(
      "Trains a model for each of several settings, and compares them.\n\n"
      "  sweep --config tiny --input book.txt --learning_rate 1e-3,3e-3 --n_layer 4,6      four runs\n"
      "  sweep --config tiny --input book.txt --learning_rate 1e-3,3e-3 --seed 1,2 --zip   two runs\n\n"
      "A key with several values, separated by commas, is swept; all else goes to every run, as train takes it (train --help). Started\n"
      "again, a sweep resumes what it has not finished.\n\n"
      "{}{}{}",
      describe_flags(flags), help_entry("--help, -h", "This text."), help_entry("--version", "The version."));
}

std::string command_of(const std::string& train, const std::vector<std::string>& arguments) {
  std::string command = shell_quote(train);
  for (const std::string& argument : arguments) command += " " + shell_quote(argument);
  return command;
}

/// What to start a run with: it resumes from its checkpoint (a finished one says so and ends), or starts over where it has
/// none.
std::vector<std::string> arguments_now(const SweepRun& run) {
  std::vector<std::string> arguments = run.arguments;
  if (!path_exists(run.folder)) return arguments;
  if (!list_step_checkpoints(run.folder).empty()) {
    arguments.emplace_back("--resume");
  } else if (path_exists(run.folder / kRunConfigFile)) {
    arguments.emplace_back("--overwrite");
  }
  return arguments;
}

using OpenFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// Runs of a sweep, as many at once as asked for.
class SweepRunner {
 public:
  SweepRunner(const SweepRequest& request, const std::vector<SweepRun>& runs, const std::string& train, StopSignal& stop,
              Logger& log)
      : request_(request), runs_(runs), train_(train), stop_(stop), log_(log) {}

  /// The names of the runs that failed. Throws Stopped.
  std::vector<std::string> run_all() {
    while (next_ < runs_.size() || !running_.empty()) {
      while (!stopping_ && next_ < runs_.size() && running_.size() < static_cast<std::size_t>(request_.jobs)) start_next();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (stop_.requested() && !stopping_) stop_running();
      collect_ended();
      if (stopping_ && running_.empty()) break;
    }
    if (stop_.requested()) throw Stopped();
    if (!refused_.empty()) throw user_error("{}; fix that, and start the sweep again", refused_);
    return std::move(failed_);
  }

 private:
  struct Running {
    const SweepRun* run;
    ChildProcess process;
  };

  [[nodiscard]] std::filesystem::path log_of(const SweepRun& run) const {
    return request_.jobs == 1 ? std::filesystem::path() : std::filesystem::path(run.folder.string() + ".log");
  }

  void start_next() {
    const SweepRun& run = runs_[next_++];
    log_.info(fmt::format("sweep    run {} of {}: {}", next_, runs_.size(), run.name));
    running_.push_back({&run, start(run)});
  }

  /// Its output goes to the terminal, or to the end of its log.
  [[nodiscard]] ChildProcess start(const SweepRun& run) const {
    const std::filesystem::path log = log_of(run);
    const OpenFile nothing(log.empty() ? nullptr : std::fopen("/dev/null", "re"), std::fclose);
    const OpenFile output(log.empty() ? nullptr : std::fopen(log.c_str(), "ae"), std::fclose);
    if (!log.empty() && output == nullptr) {
      throw user_error("{}: cannot be written: {}; make room, or choose another --out_dir", log.string(), std::strerror(errno));
    }
    ChildStreams streams;
    if (nothing) streams.in = fileno(nothing.get());
    if (output) streams.out = streams.err = fileno(output.get());
    try {
      return {train_, arguments_now(run), streams};
    } catch (const std::system_error& error) {
      throw user_error("{}: cannot be started: {}; build it (cmake --build --preset release --target train)", train_,
                       error.code().message());
    }
  }

  void stop_running() {
    stopping_ = true;
    for (Running& running : running_) running.process.ask_to_stop();
  }

  void collect_ended() {
    std::erase_if(running_, [&](Running& running) {
      const std::optional<int> status = running.process.exit_status();
      if (!status) return false;
      if (*status != 0 && !stopping_) note_failure(*running.run, *status);
      return true;
    });
  }

  void note_failure(const SweepRun& run, int status) {
    const std::filesystem::path log = log_of(run);
    log_.warn(fmt::format("{}: ended with exit status {}{}", run.name, status, log.empty() ? "" : "; see " + log.string()));
    failed_.push_back(run.name);
    if (status == 130) stop_.request("a run was stopped");
    // What its user can fix would stop the others too.
    if (status != 2 || !refused_.empty()) return;
    refused_ =
        fmt::format("{}: train refused it, as {} says", run.folder.string(), log.empty() ? "the line above" : log.string());
    stop_running();
  }

  const SweepRequest& request_;
  const std::vector<SweepRun>& runs_;
  const std::string& train_;
  StopSignal& stop_;
  Logger& log_;
  std::size_t next_ = 0;
  std::vector<Running> running_;
  std::vector<std::string> failed_;
  std::string refused_;  // what to say; empty: none was
  bool stopping_ = false;
};

struct Outcome {
  std::string name;
  std::filesystem::path folder;
  RunDigest digest;
  [[nodiscard]] double rank() const {
    const double loss = digest.best_val_loss ? *digest.best_val_loss : digest.final_smoothed.value_or(NAN);
    return std::isfinite(loss) ? loss : std::numeric_limits<double>::infinity();
  }
};

/// The runs that have made a step, the best first.
std::vector<Outcome> outcomes_of(const std::vector<SweepRun>& runs, Logger& log) {
  std::vector<Outcome> outcomes;
  for (const SweepRun& run : runs) {
    try {
      outcomes.push_back({run.name, run.folder, digest_of(read_run_history(run.folder))});
    } catch (const UserError& error) {
      log.warn(error.what());
    }
  }
  std::ranges::stable_sort(outcomes, {}, &Outcome::rank);
  return outcomes;
}

std::string loss_text(const std::optional<double>& loss) { return loss ? fmt::format("{:.4f}", *loss) : "-"; }

std::string outcome_table(const std::vector<Outcome>& outcomes) {
  std::size_t width = 3;
  for (const Outcome& outcome : outcomes) width = std::max(width, outcome.name.size());
  std::string table = fmt::format("{:<{}}  {:>9} {:>9} {:>11} {:>8} {:>9} {:>10}\n", "run", width, "best val", "at step",
                                  "final train", "steps", "time", "tokens/s");
  for (const Outcome& outcome : outcomes) {
    const RunDigest& digest = outcome.digest;
    table += fmt::format("{:<{}}  {:>9} {:>9} {:>11} {:>8} {:>9} {:>10}\n", outcome.name, width,
                         loss_text(digest.best_val_loss), digest.best_val_loss ? format_count(digest.best_step) : "-",
                         loss_text(digest.final_smoothed), format_count(digest.steps), format_duration(digest.seconds),
                         digest.tokens_per_s ? fmt::format("{:.0f}", *digest.tokens_per_s) : "-");
  }
  return table;
}

void write_report(const std::vector<Outcome>& outcomes, const std::filesystem::path& folder, FileSystem& files, Logger& log) {
  ReportRequest report;
  for (const Outcome& outcome : outcomes) {
    if (report.runs.size() < kMostInReport) report.runs.push_back(outcome.folder.string());
  }
  report.output = (folder / "report.html").string();
  if (outcomes.size() > kMostInReport)
    log.info(fmt::format("the report shows the best {} of {}", kMostInReport, outcomes.size()));
  std::ostringstream nothing;
  run_report(report, files, nothing, log);
}

}  // namespace

int sweep_program(std::span<const std::string> arguments, const std::string& train) {
  const SweepRequest request = parse_sweep(arguments);
  if (request.help || request.version) {
    fmt::print("{}", request.help ? sweep_help() : program_version("sweep"));
    throw HelpShown();
  }
  StderrLogger log;
  std::vector<SweepRun> runs = runs_of_sweep(request);
  settle_presets(runs, log);
  if (request.dry_run) {
    for (const SweepRun& run : runs) fmt::print("{}\n", command_of(train, arguments_now(run)));
    return 0;
  }
  StopSignal stop;
  stop.foresee("when the current runs have saved their checkpoints", "the same command resumes the sweep", false);
  const auto files = make_posix_file_system();
  const std::filesystem::path folder = runs.front().folder.parent_path();
  files->create_directories(folder);
  const std::vector<std::string> failed = SweepRunner(request, runs, train, stop, log).run_all();
  const std::vector<Outcome> outcomes = outcomes_of(runs, log);
  fmt::print("{}", outcome_table(outcomes));
  std::fflush(stdout);
  if (!outcomes.empty()) write_report(outcomes, folder, *files, log);
  if (!failed.empty())
    log.warn(fmt::format("{} of {} runs failed; the same command tries them again", failed.size(), runs.size()));
  return failed.empty() ? 0 : 1;
}

}  // namespace virgil
