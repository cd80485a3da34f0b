#include "model/blocks/embedding.h"

#include <fmt/format.h>

#include <string>

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

namespace {

std::string name_of_sum(const Recorder& recorder) {
  const ModuleNames& names = recorder.names();
  if (recorder.model().position != PositionKind::kLearned) return std::string(names.token_embedding);
  return fmt::format("{} + {}", names.token_embedding, names.position_embedding);
}

Parameter positions_of(Recorder& recorder) {
  if (recorder.model().position != PositionKind::kLearned) return {};
  return recorder.parameter(module_path(recorder.names().position_embedding, "weight"));
}

}  // namespace

Embedding::Embedding(Recorder& recorder)
    : name_(name_of_sum(recorder)),
      wte_(recorder.parameter(module_path(recorder.names().token_embedding, "weight"))),
      wpe_(positions_of(recorder)),
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
