// Mistral (Jiang et al. 2023), as MistralForCausalLM of transformers: Llama with grouped heads by default. Counted, not yet
// trained.
#include <cstdint>

#include "model/families/llama_modules.h"

namespace virgil {

namespace {

Architecture read_mistral(const JsonObject& json) {
  constexpr std::int64_t kUsualKeyValueHeads = 8;  // MistralConfig's default
  Architecture model = llama::read(kMistralFamily, json);
  if (model.num_kv_heads == 0) model.num_kv_heads = kUsualKeyValueHeads;
  return model;
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
};

}  // namespace virgil
