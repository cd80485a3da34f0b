// Qwen2 (Yang et al. 2024), as Qwen2ForCausalLM of transformers: Llama with biases on queries, keys and values.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "model/families/llama_modules.h"
#include "virgil/base/error.h"

namespace virgil {

namespace {

constexpr const char* kUsesWindow = "use_sliding_window";

Architecture usual_qwen2() {
  Architecture model = llama::usual(kQwen2Family);
  model.biases.qkv = true;
  return model;
}

Architecture read_qwen2(const JsonObject& json) { return llama::read(kQwen2Family, json); }

void refuse_other_qwen2(const JsonObject& json, const std::string& where) {
  llama::refuse_other_functions(json, where);
  if (!json.boolean_or(kUsesWindow, false)) return;
  throw user_error("{}: \"{}\" is true, whose windows differ between layers; Virgil computes Qwen2 without windows", where,
                   kUsesWindow);
}

nlohmann::ordered_json write_qwen2(const Architecture& model, std::int32_t end_of_text) {
  nlohmann::ordered_json json = llama::write(model, end_of_text, "Qwen2ForCausalLM");
  json[kUsesWindow] = false;
  return json;
}

}  // namespace

const Family kQwen2Family{
    .model_type = "qwen2",
    .modules = llama::kModules,
    .weight_order = WeightOrder::kOutputsInputs,
    .sizes = llama::kSizes,
    .usual = usual_qwen2,
    .holds = llama::holds,
    .read = read_qwen2,
    .refuse_other_functions = refuse_other_qwen2,
    .write = write_qwen2,
    .read_written = [](const JsonObject& json) { return llama::as_written(read_qwen2(json), json); },
};

}  // namespace virgil
