#include "bench/torch_comparison.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/child_process.h"
#include "virgil/base/error.h"
#include "virgil/base/spread.h"

namespace virgil::bench {

namespace {

/// What bench_torch.py exits with when there is no PyTorch.
constexpr int kNoTorch = 3;

std::string torch_command(const StepBench& bench, const Subject& subject, const TorchOptions& options) {
  const Architecture& model = bench.plan().model();
  const StepShape& step = bench.plan().step();
  std::string command = fmt::format(
      "{} {} --n_layer {} --n_head {} --n_embd {} --d_ff {} --block_size {} --vocab_size {} --batch_size {} --grad_accum_steps "
      "{} "
      "--dropout {} --steps {}",
      quoted(options.python), quoted(options.script), model.num_layers, model.num_heads, model.embedding_dim, model.d_ff,
      step.length, model.padded_vocab_size(), step.batch_size, subject.resolved.grad_accum_steps, model.dropout,
      options.num_steps);
  command += fmt::format(" --dtype {}", name_of(step.dtype));
  if (model.biases.all()) command += " --bias";
  if (!model.tie_weights) command += " --untied";
  if (subject.resolved.threads > 0) command += fmt::format(" --threads {}", subject.resolved.threads);
  return command;
}

}  // namespace

void expect_script(const TorchOptions& options) {
  if (!std::filesystem::exists(options.script)) {
    throw user_error("{}: no such file; run bench from the top of the source tree, or give --torch_script", options.script);
  }
}

std::optional<TorchComparison> compare_with_torch(StepBench& bench, const Subject& subject, const TorchOptions& options) {
  constexpr int kRounds = 3;
  expect_script(options);
  const std::string command = torch_command(bench, subject, options);
  std::vector<double> ours, torch, ratios;
  TorchComparison comparison;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(bench.tokens_per_s(median(bench.time_steps(options.num_steps))));
    const Output output = run_command(command);
    if (output.status == kNoTorch) return std::nullopt;
    if (output.status != 0) throw user_error("{}: exit status {}; run it by hand to see why", command, output.status);
    const auto result = nlohmann::json::parse(output.text, nullptr, false);
    if (!result.is_object() || !result.contains("tokens_per_s")) throw user_error("{}: printed no result", command);
    torch.push_back(result.at("tokens_per_s").get<double>());
    ratios.push_back(ours.back() / torch.back());
    comparison.torch_version = result.value("torch", "");
  }
  comparison.ours = median(ours);
  comparison.torch = median(torch);
  comparison.ratio = spread_of(ratios);
  return comparison;
}

}  // namespace virgil::bench
