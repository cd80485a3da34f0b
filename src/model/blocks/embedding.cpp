#include "model/blocks/embedding.h"

#include <fmt/format.h>

#include "virgil/ops/embedding.h"

namespace virgil {

void Embedding::declare(ParameterTable& table) {
  using enum Symbol;
  const ModuleNames& names = table.names();
  table.add_matrix(TensorGroup::kTokenEmbedding, module_path(names.token_embedding, "weight"), kV, kC,
                   ParameterTable::usual_std());
  if (table.model().tie_weights) table.tie_last();
  if (table.model().position != PositionKind::kLearned) return;
  table.add_matrix(TensorGroup::kPositionEmbedding, module_path(names.position_embedding, "weight"), kT, kC,
                   ParameterTable::usual_std());
}

Embedding::Embedding(Recorder& recorder)
    : name_(fmt::format("{} + {}", recorder.names().token_embedding, recorder.names().position_embedding)),
      wte_(recorder.parameter(module_path(recorder.names().token_embedding, "weight"))),
      wpe_(recorder.parameter(module_path(recorder.names().position_embedding, "weight"))),
      dropout_(recorder.dropout(RandomPurpose::kEmbeddingDropout, 0)) {}

ResidualStream Embedding::forward(Recorder& recorder, const ConstTensorView& tokens) const {
  const TensorView out = recorder.activation(name_, recorder.model().embedding_dim);
  recorder.tape().add(
      ops::EmbeddingForward{.out = out, .tokens = tokens, .wte = wte_.value, .wpe = wpe_.value, .dropout = dropout_});
  return {.sum = out, .branch = {}, .dropout = {}, .joined_name = {}, .joined_dropped_from = {}};
}

void Embedding::backward(Recorder& recorder, const ConstTensorView& tokens, const StreamGradient& dstream) const {
  recorder.tape().add(ops::EmbeddingBackward{.dwte = recorder.gradient(wte_),
                                             .dwpe = recorder.gradient(wpe_),
                                             .dout = dstream.sum,
                                             .tokens = tokens,
                                             .dropout = dropout_});
}

}  // namespace virgil
