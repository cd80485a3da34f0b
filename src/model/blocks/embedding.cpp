#include "model/blocks/embedding.h"

#include "virgil/ops/embedding.h"

namespace virgil {

Embedding::Embedding(Recorder& recorder)
    : wte_(recorder.parameter("transformer.wte.weight")),
      wpe_(recorder.parameter("transformer.wpe.weight")),
      dropout_(recorder.dropout(RandomPurpose::kEmbeddingDropout, 0)) {}

ResidualStream Embedding::forward(Recorder& recorder, const ConstTensorView& tokens) const {
  const TensorView out = recorder.activation("transformer.wte + transformer.wpe", recorder.model().embedding_dim);
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
