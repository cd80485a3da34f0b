// bench: what the machine reaches, and what a training step and each op of it take; or generation, or the tokenizers.
// docs/performance.md. Or, on paper, what many GPUs would reach: docs/distributed.md.
//
// Exit codes: 0 done, 1 an internal error, 2 something its user can mend.

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "bench/attention_race.h"
#include "bench/bench_flags.h"
#include "bench/bench_report.h"
#include "bench/generation_bench.h"
#include "bench/generation_grid.h"
#include "bench/generation_report.h"
#include "bench/loss_race.h"
#include "bench/loss_race_report.h"
#include "bench/step_bench.h"
#include "bench/tokenizer_bench.h"
#include "bench/torch_comparison.h"
#include "virgil/command/program.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/program_name.h"
#include "virgil/config/program_version.h"
#include "virgil/machine/device.h"
#include "virgil/machine/measured_dtype.h"
#include "virgil/report/presets.h"
#include "virgil/report/scaling_report.h"
#include "virgil/report/subject.h"

namespace {

namespace bench = virgil::bench;

void run_scaling(const virgil::ToolArguments& arguments, const virgil::CommandLine& command_line) {
  const auto tables = virgil::predict_tables(arguments, command_line, virgil::default_presets_folder());
  fmt::print("{}", arguments.has("json") ? scaling_json(tables) : describe_scaling(tables));
}

void run_tokenizers(const virgil::ToolArguments& arguments, const virgil::TrainConfig& config) {
  virgil::StderrLogger log;
  const bench::TokenizerBenchOptions options{arguments.has("compare_tiktoken"), arguments.value("python").value_or("python3"),
                                             arguments.value("tiktoken_script").value_or("tests/reference/bench_tiktoken.py")};
  const bench::TokenizerBenchResult result = bench::bench_tokenizers(config, options, log);
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result));
}

void run_generation(const virgil::ToolArguments& arguments, const virgil::CommandLine& command_line) {
  virgil::StderrLogger log;
  const virgil::Subject subject = virgil::make_subject({}, command_line, {});
  const bench::GenerationGrid grid = bench::choose_grid(arguments, subject.spec.block_size);
  const bench::GenerationTable table = bench::bench_generation(subject, grid, log);
  fmt::print("{}", arguments.has("json") ? json_report(table) : text_report(table));
}

void run_steps(const virgil::ToolArguments& arguments, const virgil::CommandLine& command_line) {
  const std::int64_t num_steps = arguments.positive_integer("steps").value_or(10);
  const bench::TorchOptions torch{arguments.value("python").value_or("python3"),
                                  arguments.value("torch_script").value_or("tests/reference/bench_torch.py"), num_steps};
  const bool compares_torch = arguments.has("compare_torch");
  if (compares_torch) expect_script(torch);
  const virgil::Subject subject = virgil::make_subject({}, command_line, {});
  bench::StepBench step_bench(subject);
  bench::BenchResult result;
  result.device = step_bench.backend().description();
  result.dtype = step_bench.plan().dtype();
  result.step = step_bench.time_steps_and_ops(num_steps);
  result.planned_bytes = step_bench.plan().total_bytes();
  result.resident_growth_bytes = step_bench.resident_growth_bytes();
  result.inference_ops = step_bench.time_inference_ops();
  result.generation = step_bench.time_generation();
  result.peak = step_bench.peak();
  if (arguments.has("compare_cudnn")) result.cudnn = bench::race_cudnn(subject.resolved, step_bench.plan());
  result.torch_wanted = compares_torch;
  if (compares_torch) result.torch = bench::compare_with_torch(step_bench, subject, torch);
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result, arguments.has("ops")));
}

void run_to_loss(const virgil::ToolArguments& arguments, const virgil::CommandLine& command_line, const std::string& train) {
  virgil::StderrLogger log;
  bench::LossRace race = bench::make_loss_race(arguments, command_line, train);
  race.target.bytes_per_character = bench::measure_bytes_per_character(command_line.config, log);
  const std::vector<std::vector<bench::RaceRun>> runs = bench::run_loss_race(race, log);
  const std::string machine =
      virgil::describe_processor(*virgil::make_backend(virgil::device_request(command_line.config), log));
  fmt::print("{}", arguments.has("json") ? json_report(race, runs, machine) : text_report(race, runs, machine));
}

void run(std::span<const std::string> words, const std::string& train) {
  const std::vector<virgil::ToolFlag> flags = bench::bench_flags();
  const auto [command_line, arguments] =
      virgil::parse_program_line(words, {.program = "bench", .own = flags, .words_mean = virgil::WordsMean::kConfigOrInput});
  if (command_line.version) {
    fmt::print("{}", virgil::program_version("bench"));
    return;
  }
  if (command_line.help) {
    fmt::print(
        "Usage: bench [--config FILE] [flags]\n\nTimes a training step and its ops on random tokens; --generate, --tokenizers, --scaling and --to_loss ask for "
        "something else.\n\n{}\n{}",
        virgil::describe_flags(flags), virgil::config_help());
    return;
  }
  virgil::StderrLogger log;
  virgil::tell_notes(command_line.notes, log);
  switch (bench::choose_mode(arguments)) {
    case bench::BenchMode::kStep:
      return run_steps(arguments, command_line);
    case bench::BenchMode::kGenerate:
      return run_generation(arguments, command_line);
    case bench::BenchMode::kTokenizers:
      return run_tokenizers(arguments, command_line.config);
    case bench::BenchMode::kScaling:
      return run_scaling(arguments, command_line);
    case bench::BenchMode::kToLoss:
      return run_to_loss(arguments, command_line, train);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return virgil::run_program(argc, argv, [&](const std::vector<std::string>& arguments) {
    run(arguments, virgil::program_folder(argv[0]) + "train");
    return 0;
  });
}
