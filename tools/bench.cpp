// bench: what the machine reaches, and what a training step and each op of it take; or what the tokenizers take.
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
#include "bench/bench_report.h"
#include "bench/machine_peak.h"
#include "bench/step_bench.h"
#include "bench/tokenizer_bench.h"
#include "bench/torch_comparison.h"
#include "virgil/base/error.h"
#include "virgil/command/program.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/program_version.h"
#include "virgil/report/presets.h"
#include "virgil/report/scaling_report.h"

namespace {

using virgil::ToolFlag;

const std::vector<ToolFlag> kMeasuringFlags = {
    {"steps", ToolFlag::Takes::kValue, "N", "Training steps to time (default: 10)"},
    {"ops", ToolFlag::Takes::kNothing, "", "Show every op of the step: its time, its floor, its share"},
    {"compare_cudnn", ToolFlag::Takes::kNothing, "", "Run the step's attention by cuDNN too, in turns (on a GPU)"},
    {"compare_torch", ToolFlag::Takes::kNothing, "", "Run the same steps in PyTorch, in turns"},
    {"python", ToolFlag::Takes::kValue, "PROGRAM", "Python interpreter of comparisons (default: python3)"},
    {"torch_script", ToolFlag::Takes::kValue, "FILE", "Script of --compare_torch (default: tests/reference/bench_torch.py)"},
    {"tokenizers", ToolFlag::Takes::kNothing, "", "Time the tokenizers on --input instead of a step"},
    {"compare_tiktoken", ToolFlag::Takes::kNothing, "", "With --tokenizers: encode the same text with tiktoken, in turns"},
    {"tiktoken_script", ToolFlag::Takes::kValue, "FILE", "Its script (default: tests/reference/bench_tiktoken.py)"},
};

std::vector<ToolFlag> all_flags() {
  std::vector<ToolFlag> flags = {{"json", ToolFlag::Takes::kNothing, "", "Write JSON"}};
  flags.insert(flags.end(), kMeasuringFlags.begin(), kMeasuringFlags.end());
  flags.insert(flags.end(), virgil::scaling_flags().begin(), virgil::scaling_flags().end());
  return flags;
}

void run_scaling(const virgil::ToolArguments& arguments, const virgil::CommandLine& command_line) {
  for (const ToolFlag& flag : kMeasuringFlags) {
    if (arguments.has(flag.name)) {
      throw virgil::user_error("--{} is of what bench measures, and --scaling measures nothing; give one of the two",
                               flag.name);
    }
  }
  const auto tables = virgil::predict_tables(arguments, command_line, virgil::default_presets_folder());
  fmt::print("{}", arguments.has("json") ? scaling_json(tables) : describe_scaling(tables));
}

void run_tokenizers(const virgil::ToolArguments& arguments, const virgil::TrainConfig& config) {
  virgil::StderrLogger log;
  const virgil::bench::TokenizerBenchOptions options{
      arguments.has("compare_tiktoken"), arguments.value("python").value_or("python3"),
      arguments.value("tiktoken_script").value_or("tests/reference/bench_tiktoken.py")};
  const virgil::bench::TokenizerBenchResult result = virgil::bench::bench_tokenizers(config, options, log);
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result));
}

void run(std::span<const std::string> words) {
  const std::vector<ToolFlag> flags = all_flags();
  const auto [command_line, arguments] =
      virgil::parse_program_line(words, {.program = "bench", .own = flags, .words_mean = virgil::WordsMean::kConfigOrInput});
  if (command_line.version) {
    fmt::print("{}", virgil::program_version("bench"));
    return;
  }
  if (command_line.help) {
    fmt::print("Usage: bench [--config FILE] [flags]\n\nTimes a training step and its ops on random tokens.\n\n{}\n{}",
               virgil::describe_flags(flags), virgil::config_help());
    return;
  }
  virgil::StderrLogger log;
  virgil::tell_notes(command_line.notes, log);
  if (arguments.has("scaling")) return run_scaling(arguments, command_line);
  for (const ToolFlag& flag : virgil::scaling_flags()) {
    if (arguments.has(flag.name)) throw virgil::user_error("--{} belongs to --scaling; give both, or leave it out", flag.name);
  }
  if (arguments.has("tokenizers")) return run_tokenizers(arguments, command_line.config);
  const std::int64_t num_steps = arguments.positive_integer("steps").value_or(10);
  const virgil::bench::TorchOptions torch{arguments.value("python").value_or("python3"),
                                          arguments.value("torch_script").value_or("tests/reference/bench_torch.py"),
                                          num_steps};
  const bool compares_torch = arguments.has("compare_torch");
  if (compares_torch) expect_script(torch);
  const virgil::Subject subject = virgil::make_subject({}, command_line, {});
  virgil::bench::StepBench bench(subject);
  virgil::bench::BenchResult result;
  result.device = bench.backend().description();
  result.dtype = bench.plan().dtype();
  result.peak = virgil::bench::measure_peak(bench.backend(), result.dtype);
  result.step = bench.time_steps_and_ops(num_steps);
  result.planned_bytes = bench.plan().total_bytes();
  result.resident_growth_bytes = bench.resident_growth_bytes();
  result.inference_ops = bench.time_inference_ops();
  result.generation = bench.time_generation();
  if (arguments.has("compare_cudnn")) result.cudnn = virgil::bench::race_cudnn(subject.resolved, bench.plan());
  result.torch_wanted = compares_torch;
  if (compares_torch) result.torch = virgil::bench::compare_with_torch(bench, subject, torch);
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result, arguments.has("ops")));
}

}  // namespace

int main(int argc, char** argv) {
  return virgil::run_program(argc, argv, [](const std::vector<std::string>& arguments) {
    run(arguments);
    return 0;
  });
}
