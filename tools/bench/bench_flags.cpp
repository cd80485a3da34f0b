#include "bench/bench_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/report/scaling_report.h"

namespace virgil::bench {

namespace {

struct ModeFlags {
  BenchMode mode;
  std::string_view name;      // of the flag that asks for it; empty: no flag does
  std::vector<ToolFlag> own;  // that one included
};

const ToolFlag kPython = {"python", ToolFlag::Takes::kValue, "PROGRAM", "Python interpreter of comparisons (default: python3)"};

const std::array<ModeFlags, 5>& modes() {
  using Takes = ToolFlag::Takes;
  static const std::array<ModeFlags, 5> all = {{
      {BenchMode::kStep,
       "",
       {{"steps", Takes::kValue, "N", "Training steps to time (default: 10)"},
        {"ops", Takes::kNothing, "", "Show every op of the step: its time, its floor, its share"},
        {"compare_cudnn", Takes::kNothing, "", "Run the step's attention by cuDNN too, in turns (on a GPU)"},
        {"compare_torch", Takes::kNothing, "", "Run the same steps in PyTorch, in turns"},
        kPython,
        {"torch_script", Takes::kValue, "FILE", "Script of --compare_torch (default: tests/reference/bench_torch.py)"}}},
      {BenchMode::kGenerate,
       "generate",
       {{"generate", Takes::kNothing, "", "Time generation instead of a step, over contexts and batches"},
        {"contexts", Takes::kValue, "N,...", "With --generate: tokens of a sequence (default: 1/8, 1/2 and all of block_size)"},
        {"batches", Takes::kValue, "N,...", "With --generate: sequences at once (default: 1,4,16)"},
        {"rounds", Takes::kValue, "N", "With --generate: times that each is measured, in turns (default: 5)"}}},
      {BenchMode::kTokenizers,
       "tokenizers",
       {{"tokenizers", Takes::kNothing, "", "Time the tokenizers on --input instead of a step"},
        {"compare_tiktoken", Takes::kNothing, "", "With --tokenizers: encode the same text with tiktoken, in turns"},
        kPython,
        {"tiktoken_script", Takes::kValue, "FILE", "Its script (default: tests/reference/bench_tiktoken.py)"}}},
      {BenchMode::kScaling, "scaling", {scaling_flags().begin(), scaling_flags().end()}},
      {BenchMode::kToLoss,
       "to_loss",
       {{"to_loss", Takes::kValue, "LOSS", "Train until this validation loss, in nats a character, and tell how long it took"},
        {"race", Takes::kValues, "COMMAND...",
         "With --to_loss: what races, in turns: presets, configs, or commands that take train's flags"},
        {"seeds", Takes::kValue, "N", "With --to_loss: runs of each (default: 3)"},
        {"within", Takes::kValue, "TIME",
         "With --to_loss: train each so long, as 30min, and tell the best loss; without it until the loss is found"}}},
  }};
  return all;
}

bool has_flag(const ModeFlags& mode, std::string_view name) {
  return std::ranges::find(mode.own, name, &ToolFlag::name) != mode.own.end();
}

/// "--scaling", "the timing of a training step": what has the flag.
std::string owner_of(std::string_view flag) {
  const ModeFlags& owner = *std::ranges::find_if(modes(), [&](const ModeFlags& mode) { return has_flag(mode, flag); });
  return owner.name.empty() ? "the timing of a training step" : fmt::format("--{}", owner.name);
}

const ModeFlags& asked_mode(const ToolArguments& arguments) {
  const ModeFlags* asked = &modes().front();
  for (const ModeFlags& mode : modes()) {
    if (mode.name.empty() || !arguments.has(mode.name)) continue;
    if (!asked->name.empty()) {
      throw user_error("--{} and --{} ask for different measurements; give one of the two", asked->name, mode.name);
    }
    asked = &mode;
  }
  return *asked;
}

}  // namespace

std::vector<ToolFlag> bench_flags() {
  std::vector<ToolFlag> flags = {{"json", ToolFlag::Takes::kNothing, "", "Write JSON"}};
  for (const ModeFlags& mode : modes()) {
    for (const ToolFlag& flag : mode.own) {
      if (std::ranges::find(flags, flag.name, &ToolFlag::name) == flags.end()) flags.push_back(flag);
    }
  }
  return flags;
}

BenchMode choose_mode(const ToolArguments& arguments) {
  const ModeFlags& asked = asked_mode(arguments);
  for (const ToolArguments::Given& given : arguments.given()) {
    if (given.name == "json" || has_flag(asked, given.name)) continue;
    if (asked.name.empty()) {
      throw user_error("--{} belongs to {}; give both, or leave it out", given.name, owner_of(given.name));
    }
    throw user_error("--{} belongs to {}, not to --{}; give one of the two", given.name, owner_of(given.name), asked.name);
  }
  return asked.mode;
}

}  // namespace virgil::bench
