// Qwen2 (Yang et al. 2024), as Qwen2ForCausalLM of transformers: Llama with biases on queries, keys and values. Counted, not
// yet trained.
#include "model/families/llama_modules.h"

namespace virgil {

namespace {

Architecture usual_qwen2() {
  Architecture model = llama::usual(kQwen2Family);
  model.biases.qkv = true;
  return model;
}

Architecture read_qwen2(const JsonObject& json) { return llama::read(kQwen2Family, json); }

}  // namespace

const Family kQwen2Family{
    .model_type = "qwen2",
    .modules = llama::kModules,
    .weight_order = WeightOrder::kOutputsInputs,
    .sizes = llama::kSizes,
    .usual = usual_qwen2,
    .holds = llama::holds,
    .read = read_qwen2,
};

}  // namespace virgil
