#include "virgil/config/default_preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>

#include "virgil/config/preset_files.h"

namespace virgil {
namespace {

constexpr std::string_view kDefaultPreset = "tiny";

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

bool computes_on_cpu(const TrainConfig& config, bool has_gpu) {
  return config.device == "cpu" || (config.device == "auto" && !has_gpu);
}

}  // namespace

CommandLine with_default_preset(const CommandLine& command_line, bool has_gpu, Logger& log) {
  const TrainConfig& config = command_line.config;
  const bool is_open =
      command_line.config_file.empty() && config.init_from.empty() && !config.resume && !sizes_model(command_line);
  if (!is_open || config.input.empty() || !computes_on_cpu(config, has_gpu)) return command_line;
  const std::filesystem::path file = presets_folder() / (std::string(kDefaultPreset) + ".json");
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return command_line;
  log.info(fmt::format(
      "config   no config and no sizes are given: on a CPU that is the preset {} ({}); --n_layer 12 gives GPT-2's sizes, and "
      "show_configs lists the presets",
      kDefaultPreset, file.string()));
  CommandLine line = with_config(command_line, file);
  const bool names_tokenizer = std::ranges::find(line.set_keys, "tokenizer") != line.set_keys.end();
  if (!names_tokenizer && std::ranges::any_of(config.input, holds_tokens)) line.config.tokenizer = config.tokenizer;
  return line;
}

}  // namespace virgil
