#include "train/run_summary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/terminal.h"
#include "virgil/config/config_schema.h"
#include "virgil/plan/estimates.h"
#include "virgil/train/trainer.h"

namespace virgil {

namespace {

std::int64_t num_tokens(const TokenData& data) { return static_cast<std::int64_t>(data.tokens.size()); }

void describe_model(const Architecture& model, const Dataset& data, std::int64_t num_parameters, Logger& log) {
  log.info(fmt::format("model    {} layers, {} heads of {}, width {}, context {}, vocabulary {} ({}), {} parameters{}",
                       model.num_layers, model.num_heads, model.head_size, model.embedding_dim, model.block_size,
                       model.vocab_size, data.tokenizer->name(), format_count(num_parameters),
                       model.tie_weights ? " (head tied)" : ""));
}

/// The first of what was given, and how many files that is.
std::string name_inputs(const std::vector<std::string>& inputs, std::int64_t num_documents, std::string_view mark) {
  constexpr std::size_t kNamed = 3;
  std::string text =
      fmt::format("{}", fmt::join(inputs.begin(), inputs.begin() + std::min<std::ptrdiff_t>(std::ssize(inputs), kNamed), ", "));
  if (inputs.size() > kNamed) text += ", ...";
  if (num_documents <= 1 && mark.empty()) return text;
  return text + fmt::format(" ({} {}{})", format_count(num_documents), num_documents == 1 ? "document" : "documents",
                            mark.empty() ? "" : fmt::format(" split at {}", mark));
}

void describe_data(const TrainConfig& config, const Dataset& data, std::int64_t num_parameters, Logger& log) {
  const std::int64_t train_tokens = num_tokens(data.train);
  const std::int64_t run_tokens = checked_multiply(config.max_iters, config.total_batch_size);
  const std::int64_t val_tokens = data.val ? num_tokens(*data.val) : 0;
  const std::string_view mark = data.marks_split && data.num_marks > 0 ? std::string_view(data.end_mark) : "";
  const std::string val = config.val_input.empty() ? fmt::format("{} held out", format_count(val_tokens))
                                                   : fmt::format("{} to evaluate on, held out as {}", format_count(val_tokens),
                                                                 name_inputs(config.val_input, data.num_val_documents, mark));
  log.info(fmt::format("data     {}: {} bytes, {} tokens to train on, {}; {:.3g} tokens per parameter",
                       name_inputs(config.input, data.num_documents, mark),
                       format_count(data.train.text_bytes + (data.val ? data.val->text_bytes : 0)), format_count(train_tokens),
                       val, static_cast<double>(train_tokens) / static_cast<double>(num_parameters)));
  const std::int64_t processes = config.total_batch_size / (config.batch_size * config.block_size * config.grad_accum_steps);
  log.info(fmt::format("run      {} steps of {} tokens ({} x {} x {}{}) = {:.1f} epochs", format_count(config.max_iters),
                       format_count(config.total_batch_size), config.batch_size, config.block_size, config.grad_accum_steps,
                       processes > 1 ? fmt::format(", in {} processes", processes) : "",
                       static_cast<double>(run_tokens) / static_cast<double>(train_tokens)));
}

/// Text that is seen again and again is learned by heart. Up to about four passes are as good as new text, and beyond forty
/// nothing is left to learn (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
void warn_of_many_passes(const TrainConfig& config, std::int64_t train_tokens, Logger& log) {
  constexpr double kMostUsefulPasses = 40;
  const double run_tokens = static_cast<double>(config.max_iters) * static_cast<double>(config.total_batch_size);
  const double passes = run_tokens / static_cast<double>(train_tokens);
  if (passes <= kMostUsefulPasses) return;
  const double steps = kMostUsefulPasses * static_cast<double>(train_tokens) / static_cast<double>(config.total_batch_size);
  log.warn(fmt::format(
      "the run passes over its text {:.0f} times, and beyond {:.0f} a model only memorises; stop where the validation "
      "loss rises, give more text, or --max_iters {}",
      passes, kMostUsefulPasses, std::max<std::int64_t>(1, static_cast<std::int64_t>(steps))));
}

void describe_memory(const MemoryPlan& plan, std::int64_t limit_bytes, Logger& log) {
  std::string categories;
  for (const MemoryCategory category : kAllMemoryCategories) {
    const std::int64_t bytes = plan.by_category()[category];
    if (bytes == 0) continue;
    categories += fmt::format("{}{} {}", categories.empty() ? "" : ", ", name_of(category), format_bytes(bytes));
  }
  log.info(fmt::format("memory   {} planned ({}); {} may be used", format_bytes(plan.total_bytes()), categories,
                       format_bytes(limit_bytes)));
}

/// What differs from the defaults, in as few lines of 80 columns as hold it; what other lines tell is left out.
std::vector<std::string> pack_changes(const TrainConfig& config) {
  constexpr std::size_t kColumns = 80;
  constexpr std::string_view kToldElsewhere[] = {"input",   "val_input", "model_name", "out_dir",
                                                 "dry_run", "resume",    "overwrite"};
  constexpr std::string_view kBegin = "config   ", kGap = "  ";
  std::vector<std::string> lines;
  std::string line;
  for (const std::string& change : describe_changes(config)) {
    if (std::ranges::find(kToldElsewhere, std::string_view(change).substr(0, change.find(' '))) != std::end(kToldElsewhere))
      continue;
    const bool fits = line.size() + kGap.size() + text_columns(change) <= kColumns;
    if (!line.empty() && !fits) lines.push_back(std::exchange(line, {}));
    line += line.empty() ? kBegin : kGap;
    line += change;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

}  // namespace

void describe_run(const TrainConfig& config, const MemoryPlan& plan, const Dataset& data, std::int64_t limit_bytes,
                  Logger& log) {
  const std::int64_t num_parameters = plan.parameters().num_parameters();
  describe_model(plan.model(), data, num_parameters, log);
  describe_data(config, data, num_parameters, log);
  describe_memory(plan, limit_bytes, log);
  for (const std::string& line : pack_changes(config)) log.info(line);
  if (num_tokens(data.train) < num_parameters) {
    log.warn(
        fmt::format("there are fewer tokens than parameters ({} for {}): the model can memorise the text; watch the "
                    "validation loss, or choose a smaller model or more text",
                    format_count(num_tokens(data.train)), format_count(num_parameters)));
  }
  warn_of_many_passes(config, num_tokens(data.train), log);
  if (!data.val) log.warn("no text is held out: there is no validation loss to tell learning from memorising, and no best");
}

double time_matmul(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory) {
  const PlacedTape placed = plan.evaluation();
  const ops::Matmul* largest = nullptr;  // of the blocks: the head's comes in chunks
  for (const Call& call : placed.tape.calls()) {
    const auto* product = std::get_if<ops::Matmul>(&call);
    if (product == nullptr) continue;
    const TapeTensor& out = placed.tape.tensors()[static_cast<std::size_t>(product->out.tensor())];
    if (out.slot == PlanSlot::kLogits) continue;
    if (largest == nullptr || product->cost().flops > largest->cost().flops) largest = product;
  }
  VIRGIL_CHECK(largest != nullptr, "a forward pass without products");
  Call call = *largest;
  backend.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
  for_each_operand(call, [&](std::string_view /*name*/, auto& operand, ops::Access /*access*/) {
    const TensorView bound = memory.bind(placed, operand);
    backend.run(ops::SetZero{bound});
    operand = bound;
  });
  // The first call makes the library's code; small products are over before a busy machine has shown what it can do.
  constexpr int kMinRepetitions = 4;
  constexpr double kMinSeconds = 0.02;
  double best_seconds = std::numeric_limits<double>::infinity();
  double total_seconds = 0;
  for (int repetition = 0; repetition < kMinRepetitions || total_seconds < kMinSeconds; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    backend.run(call);
    backend.synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best_seconds = std::min(best_seconds, seconds);
    total_seconds += seconds;
  }
  return 1e-9 * cost_of(call).flops / best_seconds;
}

double estimate_seconds(const TrainConfig& config, const Architecture& model, double matmul_gflops, std::int64_t num_steps) {
  // A guess at the share of a step's time that matrix products take; `bench` measures it for a given model.
  constexpr double kMatmulShare = 0.75;
  const double step_gflop = 1e-9 * model_flops_per_token(model) * static_cast<double>(config.total_batch_size);
  return static_cast<double>(num_steps) * step_gflop / matmul_gflops / kMatmulShare;
}

}  // namespace virgil
