#include "train/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/config/config_architecture.h"
#include "virgil/train/data_request.h"

namespace virgil {

namespace {

/// The first input that is neither there nor a pattern; empty: none.
std::string missing_input(const TrainConfig& config) {
  for (const std::vector<std::string>* inputs : {&config.input, &config.val_input}) {
    for (const std::string& input : *inputs) {
      std::error_code ignored;
      if (!std::filesystem::exists(input, ignored) && input.find_first_of("*?[") == input.npos) return input;
    }
  }
  return "";
}

}  // namespace

void check_inputs_of_resumed(const TrainConfig& config, const std::string& resume_command) {
  const std::string input = missing_input(config);
  if (input.empty()) return;
  const bool is_val = std::ranges::find(config.input, input) == config.input.end();
  const std::filesystem::path path(input);
  const std::string tried = path.is_absolute() ? "" : fmt::format(" in {}", std::filesystem::current_path().string());
  throw user_error(
      "{}: the run reads this input again, and it is not there{}. If it has been moved{}, give its new path: {} --{} PATH",
      input, tried, path.is_absolute() ? "" : ", or the run was started in another folder", resume_command,
      is_val ? "val_input" : "input");
}

Dataset load_run_data(const TrainConfig& config, const LoadedCheckpoint* checkpoint, FileSystem& files, Logger& log,
                      ProgressMonitor* progress) {
  if (config.input.empty()) throw user_error("nothing to train on: give a text with --input FILE");
  DataRequest request = data_request(config);
  request.progress = progress;
  if (checkpoint == nullptr) return load_dataset(request, files, log);
  request.tokenizer = std::filesystem::absolute(checkpoint->directory).string();
  return load_dataset(request, files, log);
}

Architecture make_model_config(const TrainConfig& config, const Tokenizer& tokenizer) {
  if (config.vocab_size != 0 && config.vocab_size < tokenizer.vocab_size()) {
    throw user_error("vocab_size is {}, the tokenizer {} has {} tokens: set vocab_size to 0 or to at least {}",
                     config.vocab_size, tokenizer.name(), tokenizer.vocab_size(), tokenizer.vocab_size());
  }
  return make_model_config(config, config.vocab_size != 0 ? config.vocab_size : tokenizer.vocab_size());
}

Architecture make_model_config(const TrainConfig& config, std::int64_t vocab_size) {
  return trainable(architecture_of(config, vocab_size));
}

void check_same_model(const LoadedCheckpoint& checkpoint, const Architecture& model, std::span<const std::string> set_keys) {
  const Architecture& saved = checkpoint.model;
  const Architecture& asked = model;
  const auto check = [&](const char* key, auto saved_value, auto asked_value) {
    if (saved_value == asked_value) return;
    const bool is_flag = std::ranges::find(set_keys, key) != set_keys.end();
    std::string flag = fmt::format("--{}", key);
    if constexpr (std::is_same_v<decltype(asked_value), bool>) {
      if (!asked_value) flag = fmt::format("--no_{}", key);
    }
    throw user_error("checkpoint {}: {} is {}, {}", checkpoint.directory.string(), key, saved_value,
                     is_flag ? fmt::format("and a resumed run cannot change it to {}; leave {} out", asked_value, flag)
                             : fmt::format("the config says {}; set \"{}\": {}", asked_value, key, saved_value));
  };
  const auto quoted_text = [](const std::string& text) { return fmt::format("\"{}\"", text); };
  const auto quoted = [&](MlpKind kind) { return quoted_text(std::string(name_of(kind))); };
  check("family", std::string(saved.family->model_type), std::string(asked.family->model_type));
  check("n_layer", saved.num_layers, asked.num_layers);
  check("n_head", saved.num_heads, asked.num_heads);
  check("n_embd", saved.embedding_dim, asked.embedding_dim);
  check("block_size", saved.block_size, asked.block_size);
  check("vocab_size", saved.vocab_size, asked.vocab_size);
  check("d_ff", trainable(saved).d_ff, model.d_ff);
  check("mlp", quoted(saved.mlp), quoted(asked.mlp));
  check("n_kv_head", trainable(saved).num_kv_heads, model.num_kv_heads);
  check("head_size", trainable(saved).head_size, model.head_size);
  check("rope_theta", saved.rotary.theta, asked.rotary.theta);
  check("rope_scaling", quoted_text(to_string(trainable(saved).rotary.scaling)), quoted_text(to_string(asked.rotary.scaling)));
  check("window", saved.window, asked.window);
  check("norm_epsilon", saved.norm_epsilon, asked.norm_epsilon);
  check("conv_taps", saved.conv_taps, asked.conv_taps);
  check("bias", saved.biases.all(), asked.biases.all());
  check("tie_weights", saved.tie_weights, asked.tie_weights);
}

}  // namespace virgil
