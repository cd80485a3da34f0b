#include "virgil/config/default_preset.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/config/preset_files.h"

namespace virgil {
namespace {

/// Whether a flag says how large the model is.
bool sizes_model(const CommandLine& command_line) {
  return std::ranges::any_of(command_line.set_keys, [](const std::string& name) {
    constexpr std::string_view kSizes[] = {"n_layer", "n_head", "n_embd", "block_size", "d_ff"};
    return std::ranges::find(kSizes, name) != std::end(kSizes);
  });
}

/// Token files are not learned from character by character.
bool holds_tokens(const std::string& input) {
  const auto is_tokens = [](const std::filesystem::path& path) { return path.extension() == ".bin"; };
  std::error_code error;
  if (!std::filesystem::is_directory(input, error)) return is_tokens(input);
  const std::filesystem::directory_iterator entries(input, error);
  return !error && std::any_of(begin(entries), end(entries), [&](const auto& entry) { return is_tokens(entry.path()); });
}

}  // namespace

bool leaves_model_open(const CommandLine& command_line) {
  const TrainConfig& config = command_line.config;
  return command_line.config_file.empty() && config.init_from.empty() && !config.resume && !sizes_model(command_line) &&
         !config.input.empty();
}

bool gives_token_files(const TrainConfig& config) { return std::ranges::any_of(config.input, holds_tokens); }

CommandLine with_preset(const CommandLine& command_line, const std::string& preset) {
  CommandLine line = with_config(command_line, presets_folder() / (preset + ".json"));
  const bool names_tokenizer = std::ranges::find(line.set_keys, "tokenizer") != line.set_keys.end();
  if (!names_tokenizer && gives_token_files(command_line.config)) line.config.tokenizer = command_line.config.tokenizer;
  return line;
}

}  // namespace virgil
