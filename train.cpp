// train: from a text file to a trained GPT.
//
// Exit codes: 0 finished, 1 an internal error, a lost process or a diverged run, 2 something its user can mend, 130 stopped by
// a signal, or because nobody reads the output any more; a second signal ends the process by that signal. Started several times
// by mpirun or srun, the processes train one model together; rank 0 speaks for all.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/failure.h"
#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/base/progress_printer.h"
#include "virgil/base/standard_streams.h"
#include "virgil/base/stop_signal.h"
#include "virgil/base/terminal.h"
#include "virgil/base/thread_waiting.h"
#include "virgil/base/ticker.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/program_name.h"
#include "virgil/config/program_version.h"
#include "virgil/dist/agreement.h"
#include "virgil/dist/launch.h"
#include "virgil/train/console_metrics.h"
#include "virgil/train/preset_choice.h"
#include "virgil/train/run_folder.h"
#include "virgil/train/training_run.h"

namespace {

constexpr std::chrono::milliseconds kLiveLinePeriod(250);

/// Nobody need be listening.
void complain(const std::string& text) { static_cast<void>(!std::fwrite(text.data(), 1, text.size(), stderr)); }

int exit_code(virgil::RunStatus status) {
  switch (status) {
    case virgil::RunStatus::kFinished:
      return 0;
    case virgil::RunStatus::kInterrupted:
      return 130;
    case virgil::RunStatus::kDiverged:
      return 1;
  }
  return 1;
}

/// Notes go to standard error, so that what is printed is a config file.
class StandardErrorLog final : public virgil::Logger {
 public:
  void info(std::string_view line) override { complain(fmt::format("{}\n", line)); }
  void warn(std::string_view line) override { complain(fmt::format("warning: {}\n", line)); }
};

/// Every key as a run of this command would have it, but for what only the data and the device tell.
void print_config(const virgil::CommandLine& command_line, virgil::ProcessGroup& group) {
  StandardErrorLog spoken;
  virgil::RecordingLogger quiet;
  virgil::Logger& log = group.is_root() ? static_cast<virgil::Logger&>(spoken) : quiet;
  virgil::tell_notes(command_line.notes, log);
  const virgil::CommandLine settled = virgil::with_chosen_preset(command_line, group, log);
  if (!group.is_root()) return;
  virgil::TrainConfig config = settled.config.resume ? virgil::load_run_config(settled, group.size()) : settled.config;
  virgil::resolve_config(config, group.size());
  fmt::print("{}", virgil::config_to_json(config));
}

int run(const virgil::CommandLine& command_line, virgil::ProcessGroup& group, virgil::StopSignal& stop) {
  if (command_line.help || command_line.version) {
    if (group.is_root()) fmt::print("{}", command_line.help ? virgil::config_help() : virgil::program_version("train"));
    return 0;
  }
  if (command_line.config.print_config) {
    print_config(command_line, group);
    return 0;
  }
  std::signal(SIGPIPE, SIG_IGN);  // `train | head` ends with a checkpoint
  const auto files = virgil::make_posix_file_system();
  // What the others would say, rank 0 says.
  const std::unique_ptr<FILE, int (*)(FILE*)> nowhere(group.is_root() ? nullptr : std::fopen("/dev/null", "w"), std::fclose);
  // mpirun reads its processes through terminals of its own, and where it writes to cannot be told.
  const bool is_terminal = !virgil::is_launched() && virgil::terminal_style(STDOUT_FILENO).has_value();
  std::function<virgil::TerminalStyle()> style;
  if (is_terminal) style = [] { return virgil::terminal_style(STDOUT_FILENO).value_or(virgil::TerminalStyle{}); };
  virgil::ConsoleMetrics console(nowhere ? nowhere.get() : stdout, style,
                                 [&] { stop.request("nobody reads the output any more"); });
  virgil::ProgressOutput output{[&](std::string_view line) { console.info(line); }};
  std::optional<virgil::Ticker> ticker;
  if (is_terminal) {
    output.phase = [&](const virgil::PhaseProgress* phase) { console.phase_under_way(phase); };
    ticker.emplace(kLiveLinePeriod, [&] { console.tick(); });
  }
  virgil::ProgressPrinter progress(output, &stop);
  if (!group.is_root()) stop.leave_usr1_to_others();
  virgil::tell_notes(command_line.notes, console);
  const virgil::CommandLine settled = virgil::with_chosen_preset(command_line, group, console);
  return exit_code(virgil::run_training(settled, *files, console, progress, group));
}

/// Errors of one process among several end them all: the others may be waiting for it.
int run_as_rank(const virgil::CommandLine& command_line, const std::exception_ptr& refused, virgil::ProcessGroup& group,
                virgil::StopSignal& stop) {
  const std::string who = group.size() > 1 ? group.name_of(group.rank()) + ": " : "";
  int status = 1;
  try {
    virgil::in_agreement(group, [&] {
      if (refused) std::rethrow_exception(refused);
    });
    return run(command_line, group, stop);
  } catch (const virgil::AgreedError&) {
    if (group.is_root()) complain(virgil::describe_failure(std::current_exception()).message + "\n");
    return 2;
  } catch (const virgil::LostRankError& error) {
    complain(fmt::format("{}error: {}\n", who, error.what()));
  } catch (...) {
    const virgil::Failure failure = virgil::describe_failure(std::current_exception());
    complain(fmt::format("{}{}\n", who, failure.message));
    status = failure.exit_code;
  }
  if (group.size() > 1) group.abort(status);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  virgil::bound_thread_waiting(argv);
  virgil::open_standard_streams();
  virgil::StopSignal stop;  // before MPI starts threads
  virgil::CommandLine command_line;
  std::exception_ptr refused;
  try {
    command_line = virgil::parse_train_command_line(std::vector<std::string>(argv + 1, argv + argc));
    command_line.help = command_line.help || argc == 1;
    command_line.program_folder = virgil::program_folder(argv[0]);
  } catch (const virgil::UserError&) {
    refused = std::current_exception();
  }
  std::unique_ptr<virgil::ProcessGroup> group;
  try {
    group = virgil::join_process_group({.timeout = std::chrono::seconds(command_line.config.rank_timeout)});
  } catch (const virgil::UserError&) {
    complain(virgil::describe_failure(std::current_exception()).message + "\n");
    return 2;
  }
  return run_as_rank(command_line, refused, *group, stop);
}
