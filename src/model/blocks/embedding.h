// Token embeddings, and those of positions where the model learns them.
#pragma once

#include <string>

#include "model/blocks/recorder.h"
#include "model/blocks/residual_norm.h"

namespace virgil {

class Embedding {
 public:
  static void declare(ParameterTable& table);
  explicit Embedding(Recorder& recorder);

  /// The stream (B, T, C) of tokens (B, T). Where they stand is set when it runs.
  [[nodiscard]] ResidualStream forward(Recorder& recorder, const ConstTensorView& tokens) const;
  void backward(Recorder& recorder, const ConstTensorView& tokens, const StreamGradient& dstream) const;

  [[nodiscard]] const Parameter& tokens() const { return wte_; }

 private:
  std::string name_;
  Parameter wte_;  // (Vp, C)
  Parameter wpe_;  // (block_size, C); absent: positions are rotary
  Dropout dropout_;
};

}  // namespace virgil
