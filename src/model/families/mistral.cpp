// Mistral (Jiang et al. 2023), as MistralForCausalLM of transformers: Llama with grouped heads by default, and attention to a
// window of positions.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "model/families/llama_modules.h"

namespace virgil {

namespace {

constexpr const char* kWindow = "sliding_window";

Architecture read_mistral(const JsonObject& json) {
  constexpr std::int64_t kUsualKeyValueHeads = 8;  // MistralConfig's default
  constexpr std::int64_t kUsualWindow = 4096;
  Architecture model = llama::read(kMistralFamily, json);
  if (model.num_kv_heads == 0) model.num_kv_heads = kUsualKeyValueHeads;
  model.window = json.contains(kWindow) ? json.integer_or(kWindow, 0) : kUsualWindow;  // null: none
  return model;
}

nlohmann::ordered_json write_mistral(const Architecture& model, std::int32_t end_of_text) {
  nlohmann::ordered_json json = llama::write(model, end_of_text, "MistralForCausalLM");
  json[kWindow] = model.window == 0 ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(model.window);
  return json;
}

}  // namespace

const Family kMistralFamily{
    .model_type = "mistral",
    .modules = llama::kModules,
    .weight_order = WeightOrder::kOutputsInputs,
    .sizes = llama::kSizes,
    .usual = [] { return llama::usual(kMistralFamily); },
    .holds = llama::holds,
    .read = read_mistral,
    .refuse_other_functions = llama::refuse_other_functions,
    .write = write_mistral,
    .read_written = [](const JsonObject& json) { return llama::as_written(read_mistral(json), json); },
};

}  // namespace virgil
