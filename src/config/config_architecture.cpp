#include "virgil/config/config_architecture.h"

#include "virgil/base/error.h"
#include "virgil/model/family.h"

namespace virgil {

namespace {

const Family& family_of(const TrainConfig& config) {
  const Family* family = find_family(config.family);
  VIRGIL_CHECK(family != nullptr, "no family {}", config.family);
  return family == &kGpt2Family && config.conv_taps > 0 ? kVirgilFamily : *family;
}

}  // namespace

Architecture architecture_of(const TrainConfig& config, std::int64_t vocab_size) {
  const Family& family = family_of(config);
  Architecture model = family.usual();
  model.num_layers = config.n_layer;
  model.num_heads = config.n_head;
  model.embedding_dim = config.n_embd;
  model.block_size = config.block_size;
  model.vocab_size = vocab_size;
  model.d_ff = config.d_ff;
  model.num_kv_heads = config.n_kv_head;
  model.head_size = config.head_size;
  model.rotary.theta = config.rope_theta;
  model.rotary.scaling = parse_rotary_scaling(config.rope_scaling);
  if (config.norm_epsilon != 0) model.norm_epsilon = config.norm_epsilon;
  if (config.mlp != "auto") model.mlp = parse_mlp(config.mlp);
  model.conv_taps = config.conv_taps;
  if (family.has_all_biases) model.biases = Biases::everywhere(config.bias);
  model.tie_weights = config.tie_weights;
  model.window = config.window;
  model.dropout = static_cast<float>(config.dropout);
  return model;
}

}  // namespace virgil
