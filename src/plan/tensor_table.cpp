#include "virgil/plan/tensor_table.h"

#include <fmt/format.h>

#include <utility>

#include "virgil/base/error.h"

namespace virgil {

namespace {

using enum Symbol;

/// GPT-2's modules hold one fused matrix for query, key and value and know no gate.
bool has_gpt2_modules(const Architecture& spec) {
  return spec.position == PositionKind::kLearned && spec.norm == NormKind::kLayerNorm && spec.mlp == MlpKind::kGelu &&
         spec.num_kv_heads == spec.num_heads;
}

/// Collects rows.
class TableWriter {
 public:
  explicit TableWriter(const Architecture& spec) : spec_(spec), gpt2_(has_gpt2_modules(spec)) {}

  std::vector<TensorRow> write() {
    matrix(TensorGroup::kTokenEmbedding, gpt2_ ? "transformer.wte" : "model.embed_tokens", kV, kC, false);
    rows_.back().tied = spec_.tie_weights;
    if (spec_.position == PositionKind::kLearned) {
      matrix(TensorGroup::kPositionEmbedding, gpt2_ ? "transformer.wpe" : "model.embed_positions", kT, kC, false);
    }
    per_layer_ = true;
    if (gpt2_) {
      gpt2_layer();
    } else {
      llama_layer();
    }
    per_layer_ = false;
    norm(TensorGroup::kFinalNorm, gpt2_ ? "transformer.ln_f" : "model.norm");
    if (!spec_.tie_weights) matrix(TensorGroup::kHead, "lm_head", kV, kC, false);
    return std::move(rows_);
  }

 private:
  void gpt2_layer() {
    norm(TensorGroup::kLayerNorms, "ln_1");
    matrix(TensorGroup::kAttention, "attn.c_attn", kC, kQkv, spec_.biases.qkv);
    matrix(TensorGroup::kAttention, "attn.c_proj", kQ, kC, spec_.biases.projection);
    norm(TensorGroup::kLayerNorms, "ln_2");
    matrix(TensorGroup::kMlp, "mlp.c_fc", kC, kF, spec_.biases.mlp);
    matrix(TensorGroup::kMlp, "mlp.c_proj", kF, kC, spec_.biases.mlp);
  }

  void llama_layer() {
    norm(TensorGroup::kLayerNorms, "input_layernorm");
    transposed(TensorGroup::kAttention, "self_attn.q_proj", kC, kQ, spec_.biases.qkv);
    transposed(TensorGroup::kAttention, "self_attn.k_proj", kC, kKv, spec_.biases.qkv);
    transposed(TensorGroup::kAttention, "self_attn.v_proj", kC, kKv, spec_.biases.qkv);
    transposed(TensorGroup::kAttention, "self_attn.o_proj", kQ, kC, spec_.biases.projection);
    norm(TensorGroup::kLayerNorms, "post_attention_layernorm");
    if (spec_.mlp == MlpKind::kSwiGlu) transposed(TensorGroup::kMlp, "mlp.gate_proj", kC, kF, spec_.biases.mlp);
    transposed(TensorGroup::kMlp, "mlp.up_proj", kC, kF, spec_.biases.mlp);
    transposed(TensorGroup::kMlp, "mlp.down_proj", kF, kC, spec_.biases.mlp);
  }

  void add(TensorGroup group, std::string name, std::vector<Symbol> symbols) {
    const bool decayed = symbols.size() > 1;
    rows_.push_back(
        {.group = group, .name = std::move(name), .symbols = std::move(symbols), .per_layer = per_layer_, .decayed = decayed});
  }
  /// x W + b, stored (inputs, outputs).
  void matrix(TensorGroup group, const std::string& name, Symbol inputs, Symbol outputs, bool bias) {
    add(group, name + ".weight", {inputs, outputs});
    if (bias) add(group, name + ".bias", {outputs});
  }
  /// The same, stored (outputs, inputs).
  void transposed(TensorGroup group, const std::string& name, Symbol inputs, Symbol outputs, bool bias) {
    add(group, name + ".weight", {outputs, inputs});
    if (bias) add(group, name + ".bias", {outputs});
  }
  void norm(TensorGroup group, const std::string& name) {
    add(group, name + ".weight", {kC});
    if (spec_.norm == NormKind::kLayerNorm && spec_.biases.norm) add(group, name + ".bias", {kC});
  }

  const Architecture& spec_;
  bool gpt2_;
  bool per_layer_ = false;
  std::vector<TensorRow> rows_;
};

std::int64_t& sum_of(ParameterBreakdown& breakdown, TensorGroup group) {
  switch (group) {
    case TensorGroup::kTokenEmbedding:
      return breakdown.token_embedding;
    case TensorGroup::kPositionEmbedding:
      return breakdown.position_embedding;
    case TensorGroup::kAttention:
      return breakdown.attention;
    case TensorGroup::kMlp:
      return breakdown.mlp;
    case TensorGroup::kLayerNorms:
      return breakdown.layer_norms;
    case TensorGroup::kFinalNorm:
      return breakdown.final_norm;
    case TensorGroup::kHead:
      return breakdown.head;
  }
  throw InternalError("unknown tensor group");
}

Shape shape_of(const TensorRow& row, const Architecture& spec) {
  if (row.symbols.size() == 1) return {value_of(row.symbols[0], spec)};
  return {value_of(row.symbols[0], spec), value_of(row.symbols[1], spec)};
}

}  // namespace

std::string_view name_of(Symbol symbol) {
  constexpr std::string_view kNames[] = {"V", "T", "C", "F", "Q", "K", "QKV"};
  return kNames[static_cast<std::size_t>(symbol)];
}

std::int64_t value_of(Symbol symbol, const Architecture& spec) {
  switch (symbol) {
    case kV:
      return spec.padded_vocab_size();
    case kT:
      return spec.block_size;
    case kC:
      return spec.embedding_dim;
    case kF:
      return spec.d_ff;
    case kQ:
      return checked_multiply(spec.num_heads, spec.head_size);
    case kKv:
      return checked_multiply(spec.num_kv_heads, spec.head_size);
    case kQkv:
      return checked_add(value_of(kQ, spec), checked_multiply(2, value_of(kKv, spec)));
  }
  throw InternalError("unknown symbol");
}

std::vector<TensorRow> tensor_rows(const Architecture& spec) { return TableWriter(spec).write(); }

std::string layer_prefix(const Architecture& spec, std::int64_t layer) {
  return has_gpt2_modules(spec) ? fmt::format("transformer.h.{}.", layer) : fmt::format("model.layers.{}.", layer);
}

std::int64_t count_elements(const TensorRow& row, const Architecture& spec) { return shape_of(row, spec).num_elements(); }

std::vector<NamedTensor> list_tensors(const Architecture& spec) {
  const std::vector<TensorRow> rows = tensor_rows(spec);
  std::vector<NamedTensor> tensors;
  const auto add = [&](const TensorRow& row, const std::string& prefix, std::int64_t layer) {
    const Shape shape = shape_of(row, spec);
    tensors.push_back({.name = prefix + row.name,
                       .group = row.group,
                       .shape = shape,
                       .num_elements = shape.num_elements(),
                       .layer = layer,
                       .decayed = row.decayed,
                       .tied = row.tied});
  };
  bool layers_written = false;
  for (const TensorRow& row : rows) {
    if (!row.per_layer) {
      add(row, "", -1);
    } else if (!layers_written) {
      layers_written = true;
      for (std::int64_t layer = 0; layer < spec.num_layers; ++layer) {
        for (const TensorRow& of_layer : rows) {
          if (of_layer.per_layer) add(of_layer, layer_prefix(spec, layer), layer);
        }
      }
    }
  }
  return tensors;
}

ParameterBreakdown count_parameters(const Architecture& spec) {
  ParameterBreakdown breakdown;
  std::int64_t padding = 0;
  for (const TensorRow& row : tensor_rows(spec)) {
    const std::int64_t elements = count_elements(row, spec);
    std::int64_t& sum = sum_of(breakdown, row.group);
    sum = checked_add(sum, elements);
    if (row.per_layer) breakdown.per_layer = checked_add(breakdown.per_layer, elements);
    if (row.symbols.front() == kV) {
      padding = checked_add(padding,
                            checked_multiply(spec.padded_vocab_size() - spec.vocab_size, value_of(row.symbols.back(), spec)));
    }
  }
  breakdown.all_layers = checked_multiply(spec.num_layers, breakdown.per_layer);
  for (const std::int64_t part :
       {breakdown.token_embedding, breakdown.position_embedding, breakdown.all_layers, breakdown.final_norm, breakdown.head}) {
    breakdown.total = checked_add(breakdown.total, part);
  }
  breakdown.stored_total = breakdown.total - padding;
  return breakdown;
}

}  // namespace virgil
