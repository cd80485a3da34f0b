// Llama (Touvron et al. 2023), as LlamaForCausalLM of transformers names and stores it.
#include <cstdint>
#include <nlohmann/json.hpp>

#include "model/families/llama_modules.h"

namespace virgil {

namespace {

Architecture read_llama(const JsonObject& json) {
  Architecture model = llama::read(kLlamaFamily, json);
  model.biases.qkv = model.biases.projection = json.boolean_or("attention_bias", false);
  model.biases.mlp = json.boolean_or("mlp_bias", false);
  return model;
}

nlohmann::ordered_json write_llama(const Architecture& model, std::int32_t end_of_text) {
  nlohmann::ordered_json json = llama::write(model, end_of_text, "LlamaForCausalLM");
  json["attention_bias"] = false;
  json["mlp_bias"] = false;
  return json;
}

}  // namespace

const Family kLlamaFamily{
    .model_type = "llama",
    .modules = llama::kModules,
    .weight_order = WeightOrder::kOutputsInputs,
    .sizes = llama::kSizes,
    .usual = [] { return llama::usual(kLlamaFamily); },
    .holds = llama::holds,
    .read = read_llama,
    .refuse_other_functions = llama::refuse_other_functions,
    .write = write_llama,
    .read_written = [](const JsonObject& json) { return llama::as_written(read_llama(json), json); },
};

}  // namespace virgil
