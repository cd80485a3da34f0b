// bench: what the machine reaches, and what a training step and each op of it take; or what the tokenizers take.
// docs/performance.md. Or, on paper, what many GPUs would reach: docs/distributed.md.
//
// Exit codes: 0 done, 1 an internal error, 2 something its user can mend.
#include <cstdio>

#include "bench/attention_race.h"
#include "bench/bench_report.h"
#include "bench/machine_peak.h"
#include "bench/scaling_report.h"
#include "bench/step_bench.h"
#include "bench/tokenizer_bench.h"
#include "bench/torch_comparison.h"
#include "program.h"
#include "virgil/base/error.h"
#include "virgil/report/tool_arguments.h"

namespace {

using virgil::ToolFlag;

const std::vector<ToolFlag> kFlags = {
    {"steps", ToolFlag::Takes::kValue, "N", "Training steps to time (default: 10)"},
    {"ops", ToolFlag::Takes::kNothing, "", "Show every op of the step: its time, its floor, its share"},
    {"json", ToolFlag::Takes::kNothing, "", "Write JSON"},
    {"compare_cudnn", ToolFlag::Takes::kNothing, "", "Run the step's attention by cuDNN too, in turns (on a GPU)"},
    {"compare_torch", ToolFlag::Takes::kNothing, "", "Run the same steps in PyTorch, in turns"},
    {"python", ToolFlag::Takes::kValue, "PROGRAM", "Python interpreter of comparisons (default: python3)"},
    {"torch_script", ToolFlag::Takes::kValue, "FILE", "Script of --compare_torch (default: tests/reference/bench_torch.py)"},
    {"tokenizers", ToolFlag::Takes::kNothing, "", "Time the tokenizers on --input instead of a step"},
    {"compare_tiktoken", ToolFlag::Takes::kNothing, "", "With --tokenizers: encode the same text with tiktoken, in turns"},
    {"scaling", ToolFlag::Takes::kNothing, "",
     "Predict, without a GPU, what 1 to 1,024 GPUs reach with every preset, or --config"},
    {"gpu", ToolFlag::Takes::kValue, "NAME", "With --scaling: a GPU of data/gpus.json (default: H100)"},
    {"mfu", ToolFlag::Takes::kValue, "PERCENT", "With --scaling: the share of its peak that one GPU reaches (default: 40)"},
    {"step_ms", ToolFlag::Takes::kValue, "MS", "With --scaling: a step on one GPU, as bench measures it, instead of these two"},
    {"cards", ToolFlag::Takes::kValue, "N", "With --scaling: network cards of a machine of 8 GPUs (default: 1)"},
    {"tiktoken_script", ToolFlag::Takes::kValue, "FILE", "Its script (default: tests/reference/bench_tiktoken.py)"},
};

void run_tokenizers(const virgil::ToolArguments& arguments, const virgil::TrainConfig& config) {
  virgil::StderrLogger log;
  const virgil::bench::TokenizerBenchOptions options{
      arguments.has("compare_tiktoken"), arguments.value("python").value_or("python3"),
      arguments.value("tiktoken_script").value_or("tests/reference/bench_tiktoken.py")};
  const virgil::bench::TokenizerBenchResult result = virgil::bench::bench_tokenizers(config, options, log);
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result));
}

void run(std::span<const std::string> words) {
  const virgil::ToolArguments arguments(words, kFlags);
  const virgil::CommandLine command_line = virgil::parse_config_flags(arguments, kFlags, "bench");
  if (command_line.help) {
    fmt::print("Usage: bench [--config FILE] [flags]\n\nTimes a training step and its ops on random tokens.\n\n{}\n{}",
               virgil::describe_flags(kFlags), virgil::config_help());
    return;
  }
  if (arguments.has("scaling")) {
    const auto tables = virgil::bench::predict_tables(arguments, command_line);
    fmt::print("{}", arguments.has("json") ? json_report(tables) : text_report(tables));
    return;
  }
  for (const char* name : {"gpu", "mfu", "step_ms", "cards"}) {
    if (arguments.has(name)) throw virgil::user_error("--{} belongs to --scaling; give both, or leave it out", name);
  }
  if (arguments.has("tokenizers")) return run_tokenizers(arguments, command_line.config);
  const std::int64_t num_steps = arguments.positive_integer("steps").value_or(10);
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
  result.torch_wanted = arguments.has("compare_torch");
  if (result.torch_wanted) {
    result.torch = virgil::bench::compare_with_torch(
        bench, subject,
        {arguments.value("python").value_or("python3"),
         arguments.value("torch_script").value_or("tests/reference/bench_torch.py"), num_steps});
  }
  fmt::print("{}", arguments.has("json") ? json_report(result) : text_report(result, arguments.has("ops")));
}

}  // namespace

int main(int argc, char** argv) {
  return virgil::run_program([&] { run(std::vector<std::string>(argv + 1, argv + argc)); });
}
