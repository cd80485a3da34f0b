// A small model of Llama's kin for tests of what holds for every model.
#pragma once

#include <cstdint>

#include "virgil/model/architecture.h"
#include "virgil/model/family.h"

namespace virgil::test_support {

/// The parts of a Llama in place of GPT-2's, in a model of these sizes: shared heads, and a window of 7 positions.
[[nodiscard]] inline Architecture as_llama(Architecture sizes) {
  Architecture model = kMistralFamily.usual();
  model.num_layers = sizes.num_layers;
  model.num_heads = sizes.num_heads;
  model.num_kv_heads = 1;
  model.embedding_dim = sizes.embedding_dim;
  model.block_size = sizes.block_size;
  model.vocab_size = sizes.vocab_size;
  model.window = 7;
  model.tie_weights = sizes.tie_weights;
  model.dropout = sizes.dropout;
  return model;
}

}  // namespace virgil::test_support
