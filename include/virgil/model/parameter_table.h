// The one table of a model's parameters: its parts declare them, and counting, formulas, planning, allocation, initialisation,
// weight decay, checkpoints and export read it. Names and orientation are those of the architecture's family.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/shape.h"
#include "virgil/model/architecture.h"
#include "virgil/model/family.h"
#include "virgil/model/optimizer_traits.h"

namespace virgil {

/// A dimension of a parameter.
enum class Symbol : std::uint8_t {
  kV,     // rows of the vocabulary, padding included
  kT,     // block_size
  kC,     // embedding_dim
  kF,     // d_ff
  kQ,     // query heads * head size
  kKv,    // key heads * head size, and as much for values
  kQkv,   // Q + 2 KV in one matrix, as GPT-2 stores them
  kConv,  // conv_taps * C
};
/// V, T, C, F, Q, K, QKV, N.
[[nodiscard]] std::string_view name_of(Symbol symbol);
/// Throws UserError on overflow.
[[nodiscard]] std::int64_t value_of(Symbol symbol, const Architecture& model);

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

enum class InitKind : std::uint8_t { kZeros, kOnes, kNormal };

/// One row: a tensor, or a tensor of every layer.
struct ParameterRow {
  TensorGroup group = TensorGroup::kTokenEmbedding;
  std::string name;             // "transformer.wte.weight"; of a layer: "attn.c_attn.weight" after layer_prefix()
  std::vector<Symbol> symbols;  // one or two
  InitKind init = InitKind::kZeros;
  float init_std = 0;  // for kNormal
  bool per_layer = false;
  bool tied = false;    // also the LM head
  bool joined = false;  // lies right behind the row before it: one product reads both
};

/// Collects rows. Parts declare theirs in model order, those of a block once: every layer has the same.
class ParameterTable {
 public:
  /// Refers to `model`, which is complete.
  explicit ParameterTable(const Architecture& model);

  [[nodiscard]] const Architecture& model() const { return model_; }
  [[nodiscard]] const ModuleNames& names() const { return model_.family->modules; }
  /// Deviations of new matrices: GPT-2's, who scales those that write into the residual stream by the number of branches.
  [[nodiscard]] static float usual_std() { return 0.02F; }
  [[nodiscard]] float residual_std() const;

  void add_matrix(TensorGroup group, std::string name, Symbol rows, Symbol columns, float init_std);
  void add_vector(TensorGroup group, std::string name, Symbol elements, InitKind init);
  /// The last one that was added is also the head.
  void tie_last() { rows_.back().tied = true; }
  /// The last one that was added is read together with the one before it.
  void join_last() { rows_.back().joined = true; }

  void begin_layer() { per_layer_ = true; }
  void end_layer() { per_layer_ = false; }
  [[nodiscard]] std::vector<ParameterRow> take_rows() { return std::move(rows_); }

 private:
  const Architecture& model_;
  bool per_layer_ = false;
  std::vector<ParameterRow> rows_;
};

/// "attn.c_attn" of "attn" and "c_attn".
[[nodiscard]] std::string module_path(std::string_view parent, std::string_view module);
/// "transformer.h.3." or "model.layers.3.".
[[nodiscard]] std::string layer_prefix(const Architecture& model, std::int64_t layer);

/// What the parts of `model` declare.
[[nodiscard]] std::vector<ParameterRow> parameter_rows(const Architecture& model);
/// Elements of one tensor of the row. Throws UserError on overflow.
[[nodiscard]] std::int64_t count_elements(const ParameterRow& row, const Architecture& model);

/// One parameter tensor.
struct ParameterSpec {
  std::string name;    // "transformer.h.0.attn.c_attn.weight"
  Shape shape;         // as allocated
  Shape stored_shape;  // as in a checkpoint: without padding rows (a prefix of `shape`'s elements)
  InitKind init = InitKind::kZeros;
  float init_std = 0;  // for kNormal; padding rows are zero
  TensorGroup part = TensorGroup::kTokenEmbedding;
  bool tied = false;                        // also the LM head
  bool joined = false;                      // lies right behind the one before it, as of one tensor
  int layer = -1;                           // -1: not in a layer
  std::vector<std::int64_t> matrices = {};  // columns of several that lie side by side in it: queries, keys, values; empty: one
  WeightOrder order = WeightOrder::kInputsOutputs;  // of a matrix of a block

  // ParameterLayout's to say: the place in the flat buffer that holds all parameters (and, with the same offsets, all gradients
  // and each optimizer state), in elements; what that would be with one shard, which numbers elements whatever the number of
  // processes; and the group.
  std::int64_t offset = 0;
  std::int64_t lone_offset = 0;
  std::int64_t neuron_offset = -1;  // the place in the flat buffer that holds a number for each neuron; -1: it has none there
  std::size_t group = 0;
  bool decayed = false;

  [[nodiscard]] std::int64_t num_elements() const { return shape.num_elements(); }
  /// Outputs of a matrix of a block; 0: of anything else.
  [[nodiscard]] std::int64_t num_neurons() const {
    if (layer < 0 || shape.rank() != 2) return 0;
    return order == WeightOrder::kInputsOutputs ? shape[1] : shape[0];
  }
  /// Where the parameter's numbers lie in a flat buffer that has one for each element, or for each neuron, and how many.
  [[nodiscard]] std::int64_t place(StatePer per) const { return per == StatePer::kElement ? offset : neuron_offset; }
  [[nodiscard]] std::int64_t count(StatePer per) const { return per == StatePer::kElement ? num_elements() : num_neurons(); }
};
/// Every tensor of the model, layers written out, in model order. Throws UserError on overflow.
[[nodiscard]] std::vector<ParameterSpec> list_parameters(const Architecture& model);

}  // namespace virgil
