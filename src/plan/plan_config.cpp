#include "virgil/plan/plan_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <variant>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/shell_quote.h"
#include "virgil/config/config_text.h"
#include "virgil/config/program_name.h"
#include "virgil/model/state_storage.h"

namespace virgil {

namespace {

/// " --key=value", or " --key a b" for several values.
std::string flag_text(const TrainConfig& config, const ConfigKey& key) {
  const auto* list = std::get_if<std::vector<std::string> TrainConfig::*>(&key.member);
  if (list == nullptr) return fmt::format(" --{}={}", key.name, shell_quote(plain_value(config, key)));
  const std::vector<std::string>& values = config.**list;
  if (values.size() < 2) return fmt::format(" --{}={}", key.name, shell_quote(values.empty() ? "" : values.front()));
  std::string text = fmt::format(" --{}", key.name);
  for (const std::string& value : values) text += fmt::format(" {}", shell_quote(value));
  return text;
}

std::string describe_remedy(const TrainingShape& asked, const Remedy& remedy, std::int64_t limit_bytes) {
  const Verdict verdict = judge(remedy.planned_bytes, limit_bytes);
  const char* fits = verdict == Verdict::kYes ? "fits" : verdict == Verdict::kTight ? "tight" : "no";
  const auto percent = static_cast<int>(100 * (remedy.time_factor - 1) + 0.5);
  const std::string time = percent == 0 ? "no more time" : fmt::format("{:+d} % time", percent);
  std::string cost = time;
  if (!remedy.same_training) cost += "; another model";
  if (remedy.drops_master_weights(asked)) cost += "; a loss that may be a little higher";
  return fmt::format("  {:<5} {:>10}  (saves {}, {})  {}\n", fits, format_bytes(remedy.planned_bytes),
                     format_bytes(remedy.saved_bytes), cost, flags_text(changed_keys(asked, remedy.shape)));
}

}  // namespace

DType parse_dtype(std::string_view name) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    if (name == name_of(dtype)) return dtype;
  }
  throw InternalError(fmt::format("dtype \"{}\" is not resolved", name));
}

DataParallel data_parallel(const TrainConfig& config, std::int64_t processes, CommunicatorKind communicator) {
  const DType wire = parse_dtype(config.grad_reduce_dtype);
  return {.processes = processes,
          .zero_stage = static_cast<int>(config.zero_stage),
          .staging_bytes = communicator_staging_bytes(communicator, static_cast<int>(processes), wire),
          .wire = wire};
}

TrainingShape training_shape(const TrainConfig& config, const Architecture& model, const DataParallel& parallel) {
  return {.model = model,
          .batch_size = config.batch_size,
          .grad_accum_steps = config.grad_accum_steps,
          .recompute = parse_recompute(config.recompute),
          .logits_chunk = config.logits_chunk,
          .dtype = parse_dtype(config.dtype),
          .master_weights = config.master_weights,
          .optimizer = parse_optimizer(config.optimizer),
          .optimizer_state_dtype = state_storage_named(config.optimizer_state_dtype),
          .param_groups = parse_group_overrides(config.param_groups),
          .samples = config.sample_interval > 0,
          .parallel = parallel};
}

std::int64_t expected_vocab_size(const TrainConfig& config) {
  constexpr std::int64_t kBytes = 256;
  constexpr std::int64_t kGpt2 = 50257;
  constexpr std::int64_t kCharacters = 128;
  constexpr std::string_view kBpe = "bpe:";
  if (config.vocab_size != 0) return config.vocab_size;
  if (config.tokenizer == "gpt2") return kGpt2;
  if (config.tokenizer == "byte") return kBytes;
  if (config.tokenizer == "char") return kCharacters;
  if (config.tokenizer.starts_with(kBpe)) {
    std::int64_t size = 0;
    const char* end = config.tokenizer.data() + config.tokenizer.size();
    const auto [stop, error] = std::from_chars(config.tokenizer.data() + kBpe.size(), end, size);
    if (error == std::errc() && stop == end && size > 0) return size;
  }
  throw user_error("tokenizer is \"{}\": its vocabulary is not known beforehand; give its size with --vocab_size",
                   config.tokenizer);
}

void choose_batch_size(TrainConfig& config, const Architecture& model, std::int64_t limit_bytes, const BackendTraits& traits,
                       const DataParallel& parallel) {
  if (config.batch_size != 0) return;
  TrainingShape shape = training_shape(config, model, parallel);
  shape.batch_size = 1;
  const auto found = config.total_batch_size != 0
                         ? largest_dividing_batch(shape, config.total_batch_size / config.block_size, limit_bytes, traits)
                         : solve_largest(shape, SolveVariable::kBatchSize, limit_bytes, traits);
  config.batch_size = found ? found->batch_size : 1;
  resolve_config(config, parallel.processes);
}

KeyValues changed_keys(const TrainingShape& from, const TrainingShape& to) {
  KeyValues keys;
  const auto add = [&](const char* key, std::int64_t before, std::int64_t after) {
    if (before != after) keys.emplace_back(key, std::to_string(after));
  };
  add("n_layer", from.model.num_layers, to.model.num_layers);
  add("n_embd", from.model.embedding_dim, to.model.embedding_dim);
  add("n_head", from.model.num_heads, to.model.num_heads);
  const std::int64_t d_ff = trainable(to.model).d_ff;
  if (trainable(from.model).d_ff != d_ff && d_ff != usual_d_ff(to.model.mlp, to.model.embedding_dim))
    keys.emplace_back("d_ff", std::to_string(d_ff));
  add("block_size", from.model.block_size, to.model.block_size);
  add("batch_size", from.batch_size, to.batch_size);
  add("grad_accum_steps", from.grad_accum_steps, to.grad_accum_steps);
  const auto tokens = [](const TrainingShape& shape) {
    return checked_multiply(shape.sequences_per_step(), shape.model.block_size);
  };
  add("total_batch_size", tokens(from), tokens(to));
  if (from.recompute != to.recompute) keys.emplace_back("recompute", name_of(to.recompute));
  add("logits_chunk", from.logits_chunk, to.logits_chunk);
  if (from.optimizer_state_dtype != to.optimizer_state_dtype)
    keys.emplace_back("optimizer_state_dtype", name_of(to.optimizer_state_dtype));
  if (from.master_weights != to.master_weights) keys.emplace_back("master_weights", to.master_weights ? "true" : "false");
  add("zero_stage", from.parallel.zero_stage, to.parallel.zero_stage);
  return keys;
}

std::string flags_text(const KeyValues& keys) {
  std::string text;
  for (const auto& [key, value] : keys) text += fmt::format("{}--{} {}", text.empty() ? "" : " ", key, shell_quote(value));
  return text;
}

std::string command_text(std::string_view program, const CommandLine& given, const KeyValues& changes) {
  std::string text(program);
  if (!given.config_file.empty()) text += " --config " + shell_quote(given.config_file);
  for (const std::string& name : given.set_keys) {
    const bool changed = std::ranges::any_of(changes, [&](const auto& change) { return change.first == name; });
    if (changed) continue;
    text += flag_text(given.config, *find_config_key(name));
  }
  return changes.empty() ? text : text + " " + flags_text(changes);
}

std::string describe_remedies(const TrainingShape& asked, std::int64_t limit_bytes, std::int64_t aim_bytes,
                              const BackendTraits& traits, const CommandLine& given) {
  const std::vector<Remedy> remedies = find_remedies(asked, aim_bytes, traits);
  if (remedies.empty()) return "nothing makes this run smaller; choose a smaller model\n";
  std::string text;
  for (const Remedy& remedy : remedies) text += describe_remedy(asked, remedy, limit_bytes);
  if (!remedies.front().fits) return text + "none of these fits; choose a smaller model\n";
  const std::string program = train_command(given.program_folder, asked.parallel.processes);
  return text + fmt::format("  {}\n", command_text(program, given, changed_keys(asked, remedies.front().shape)));
}

}  // namespace virgil
