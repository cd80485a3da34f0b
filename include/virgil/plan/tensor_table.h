// The parameters of any Architecture as one table of symbolic shapes. Counting, formulas and the list of tensors read it;
// for Virgil's own models it equals the ParameterLayout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/shape.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// A dimension of a parameter.
enum class Symbol : std::uint8_t {
  kV,    // rows of the vocabulary, padding included
  kT,    // block_size
  kC,    // embedding_dim
  kF,    // d_ff
  kQ,    // query heads * head size
  kKv,   // key heads * head size, and as much for values
  kQkv,  // Q + 2 KV in one matrix, as GPT-2 stores them
};
/// V, T, C, F, Q, K, QKV.
[[nodiscard]] std::string_view name_of(Symbol symbol);
/// Throws UserError on overflow.
[[nodiscard]] std::int64_t value_of(Symbol symbol, const Architecture& spec);

/// The part of the model a tensor counts towards.
enum class TensorGroup : std::uint8_t {
  kTokenEmbedding,
  kPositionEmbedding,
  kAttention,
  kMlp,
  kLayerNorms,
  kFinalNorm,
  kHead,
};

/// One row: a tensor, or a tensor of every layer.
struct TensorRow {
  TensorGroup group = TensorGroup::kTokenEmbedding;
  std::string name;             // "transformer.wte.weight"; of a layer: "attn.c_attn.weight" after layer_prefix()
  std::vector<Symbol> symbols;  // one or two
  bool per_layer = false;
  bool decayed = false;  // weight decay: matrices and embeddings, not vectors
  bool tied = false;     // also the LM head
};

/// In model order. Names and orientations are those of Hugging Face: GPT-2's (x W, fused query, key and value) where GPT-2's
/// modules can hold the tensors, else Llama's (W x).
[[nodiscard]] std::vector<TensorRow> tensor_rows(const Architecture& spec);
/// "transformer.h.3." or "model.layers.3.".
[[nodiscard]] std::string layer_prefix(const Architecture& spec, std::int64_t layer);

/// Elements of one tensor of the row. Throws UserError on overflow.
[[nodiscard]] std::int64_t count_elements(const TensorRow& row, const Architecture& spec);

struct NamedTensor {
  std::string name;
  TensorGroup group = TensorGroup::kTokenEmbedding;
  Shape shape;
  std::int64_t num_elements = 0;
  std::int64_t layer = -1;  // -1: not in a layer
  bool decayed = false;
  bool tied = false;
};
/// Every tensor of the model, layers written out, in model order.
[[nodiscard]] std::vector<NamedTensor> list_tensors(const Architecture& spec);

/// Sums over the table; `stored` ones leave padding rows out.
struct ParameterBreakdown {
  std::int64_t token_embedding = 0;
  std::int64_t position_embedding = 0;
  std::int64_t attention = 0;    // of one layer, as the next two
  std::int64_t mlp = 0;          // feed-forward
  std::int64_t layer_norms = 0;  // of one layer
  std::int64_t per_layer = 0;
  std::int64_t all_layers = 0;
  std::int64_t final_norm = 0;
  std::int64_t head = 0;  // 0 when tied
  std::int64_t total = 0;
  std::int64_t stored_total = 0;
  friend bool operator==(const ParameterBreakdown&, const ParameterBreakdown&) = default;
};
/// Throws UserError on overflow.
[[nodiscard]] ParameterBreakdown count_parameters(const Architecture& spec);

}  // namespace virgil
