#include "virgil/config/config_architecture.h"

#include "virgil/model/family.h"

namespace virgil {

Architecture architecture_of(const TrainConfig& config, std::int64_t vocab_size) {
  return {.name = {},
          .family = config.conv_taps == 0 ? &kGpt2Family : &kVirgilFamily,
          .num_layers = config.n_layer,
          .num_heads = config.n_head,
          .embedding_dim = config.n_embd,
          .block_size = config.block_size,
          .vocab_size = vocab_size,
          .d_ff = config.d_ff,
          .mlp = parse_mlp(config.mlp),
          .conv_taps = config.conv_taps,
          .biases = Biases::everywhere(config.bias),
          .tie_weights = config.tie_weights,
          .dropout = static_cast<float>(config.dropout)};
}

}  // namespace virgil
