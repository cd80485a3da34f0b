#include "format/model_card.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCardFile = "README.md";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";

/// The context of the model, which the tokenizer alone does not know.
std::string with_model_length(const std::string& tokenizer_config, std::int64_t block_size) {
  Json config = Json::parse(tokenizer_config);
  config["model_max_length"] = block_size;
  return config.dump(2) + "\n";
}

/// No max_length: with one, transformers warns at every call that gives max_new_tokens.
std::string write_generation_config(std::int32_t end_of_text) {
  Json config = {{"_from_model_config", false}, {"do_sample", true}};
  if (end_of_text >= 0) {
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) config[key] = end_of_text;
  }
  return config.dump(2) + "\n";
}

std::string text_of(const Json& config, const char* key) {
  return config.is_object() && config.contains(key) && config[key].is_string() ? config[key].get<std::string>() : std::string();
}

/// The names of the inputs without their folders: a card may be published.
std::string input_names(const Json& config) {
  if (!config.is_object() || !config.contains("input")) return {};
  std::string names;
  const Json inputs = config["input"].is_array() ? config["input"] : Json::array({config["input"]});
  for (const Json& input : inputs) {
    if (!input.is_string()) continue;
    std::filesystem::path path = input.get<std::string>();
    if (!path.has_filename()) path = path.parent_path();
    names += (names.empty() ? "" : ", ") + path.filename().string();
  }
  return names;
}

/// What a model hub reads, and what the model is.
std::string write_front_matter(const Architecture& model, const std::string& name) {
  const bool opens = model.family != &kVirgilFamily;
  const std::string architecture =
      model.family->has_all_biases ? "GPT-2's architecture" : fmt::format("the family {}", model.family->model_type);
  return fmt::format(
      "---\n{}pipeline_tag: text-generation\ntags:\n{}- virgil\n---\n\n# {}\n\n"
      "A language model of {}{}, trained from scratch by Virgil.\n\n",
      opens ? "library_name: transformers\n" : "", opens ? fmt::format("- {}\n", model.family->model_type) : "", name,
      architecture, opens ? "" : ", with convolutions of its own,");
}

std::string describe_use(const Architecture& model) {
  const std::string with_virgil = "With Virgil: `generate --checkpoint path/of/this/folder --prompt \"Once\"`.\n\n";
  if (model.family == &kVirgilFamily) {
    return with_virgil + "transformers has no modules for the convolutions and does not open it.\n\n";
  }
  return "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
         "folder = \"path/of/this/folder\"\ntokenizer = AutoTokenizer.from_pretrained(folder)\n"
         "model = AutoModelForCausalLM.from_pretrained(folder)\n"
         "ids = tokenizer(\"Once\", return_tensors=\"pt\").input_ids\n"
         "print(tokenizer.decode(model.generate(ids, max_new_tokens=20)[0]))\n```\n\n" +
         with_virgil;
}

std::string write_card(const CheckpointContents& contents, const Architecture& model) {
  const TrainingState& state = contents.state;
  const Json config = Json::parse(state.config_json, nullptr, false);
  const std::string given_name = text_of(config, "model_name");
  std::string card = write_front_matter(model, given_name.empty() ? "A GPT" : given_name) + "| | |\n|---|---|\n";
  const auto row = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) card += fmt::format("| {} | {} |\n", name, value);
  };
  row("parameters", fmt::format("{}", ParameterLayout(model).num_parameters()));
  row("layers, heads, width", fmt::format("{}, {}, {}", model.num_layers, model.num_heads, model.embedding_dim));
  if (model.conv_taps > 0) row("convolutions", fmt::format("of {} positions before", model.conv_taps));
  if (model.num_kv_heads != model.num_heads) row("heads of keys and values", fmt::format("{}", model.num_kv_heads));
  row("context", fmt::format("{} tokens", model.block_size));
  row("vocabulary", fmt::format("{}", model.vocab_size));
  if (contents.tokenizer != nullptr) row("tokenizer", contents.tokenizer->name());
  row("trained on", input_names(config));
  row("steps, tokens seen", fmt::format("{}, {}", state.step, state.tokens_seen));
  if (std::isfinite(state.last_val_loss)) row("loss on held-out text", fmt::format("{:.4f}", state.last_val_loss));
  if (std::isfinite(state.best_val_loss)) {
    row("best loss on held-out text", fmt::format("{:.4f}, at step {}", state.best_val_loss, state.best_step));
  }
  return card + "\n## Use\n\n" + describe_use(model) +
         "## License\n\nNot stated. Add the one under which you publish the model, and mind those of its texts.\n";
}

}  // namespace

std::vector<Tokenizer::File> write_companion_files(const CheckpointContents& contents, const Architecture& model) {
  std::vector<Tokenizer::File> files;
  std::int32_t end_of_text = -1;
  if (contents.tokenizer != nullptr) {
    end_of_text = contents.tokenizer->end_of_text();
    files = contents.tokenizer->files();
    for (Tokenizer::File& file : files) {
      if (file.name == kTokenizerConfig) file.content = with_model_length(file.content, model.block_size);
    }
  }
  files.push_back({"generation_config.json", write_generation_config(end_of_text)});
  files.push_back({kCardFile, write_card(contents, model)});
  return files;
}

}  // namespace virgil
