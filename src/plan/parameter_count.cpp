#include "virgil/plan/parameter_count.h"

#include <cstdint>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

namespace {

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

}  // namespace

ParameterBreakdown count_parameters(const Architecture& model) {
  ParameterBreakdown breakdown;
  std::int64_t padding = 0;
  for (const ParameterRow& row : parameter_rows(model)) {
    const std::int64_t elements = count_elements(row, model);
    std::int64_t& sum = sum_of(breakdown, row.group);
    sum = checked_add(sum, elements);
    if (row.per_layer) breakdown.per_layer = checked_add(breakdown.per_layer, elements);
    if (row.symbols.front() == Symbol::kV) {
      padding = checked_add(
          padding, checked_multiply(model.padded_vocab_size() - model.vocab_size, value_of(row.symbols.back(), model)));
    }
  }
  breakdown.all_layers = checked_multiply(model.num_layers, breakdown.per_layer);
  for (const std::int64_t part :
       {breakdown.token_embedding, breakdown.position_embedding, breakdown.all_layers, breakdown.final_norm, breakdown.head}) {
    breakdown.total = checked_add(breakdown.total, part);
  }
  breakdown.stored_total = breakdown.total - padding;
  return breakdown;
}

}  // namespace virgil
