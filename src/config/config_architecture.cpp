#include "virgil/config/config_architecture.h"

namespace virgil {

Architecture architecture_of(const TrainConfig& config, std::int64_t vocab_size) {
  return {.name = {},
          .num_layers = config.n_layer,
          .num_heads = config.n_head,
          .embedding_dim = config.n_embd,
          .block_size = config.block_size,
          .vocab_size = vocab_size,
          .d_ff = config.d_ff,
          .mlp = parse_mlp(config.mlp),
          .biases = Biases::everywhere(config.bias),
          .tie_weights = config.tie_weights,
          .dropout = static_cast<float>(config.dropout)};
}

}  // namespace virgil
