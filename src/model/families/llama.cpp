// Llama (Touvron et al. 2023), as LlamaForCausalLM of transformers names and stores it. Counted, not yet trained.
#include "model/families/llama_modules.h"

namespace virgil {

namespace {

Architecture read_llama(const JsonObject& json) {
  Architecture model = llama::read(kLlamaFamily, json);
  model.biases.qkv = model.biases.projection = json.boolean_or("attention_bias", false);
  model.biases.mlp = json.boolean_or("mlp_bias", false);
  return model;
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
};

}  // namespace virgil
