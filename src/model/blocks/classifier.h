// The head and the loss, a chunk of rows at a time: the logits of a whole step would be its largest tensor.
#pragma once

#include <cstdint>

#include "model/blocks/objective.h"
#include "model/blocks/recorder.h"
#include "virgil/model/step_tape.h"

namespace virgil {

class Classifier {
 public:
  /// A head of its own, where the model has one.
  static void declare(ParameterTable& table);
  /// `head` (Vp, C): of its own, or the token embedding.
  Classifier(Recorder& recorder, Parameter head, ObjectiveKind objective, std::int64_t chunk_rows, LogitsChunks chunks);

  /// Losses of all rows, and their sum, from norm (B, T, C).
  void evaluate(Recorder& recorder, const ConstTensorView& norm) const;
  /// The same, dhead +=, and the gradient of norm.
  [[nodiscard]] TensorView train(Recorder& recorder, const ConstTensorView& norm) const;

 private:
  /// Without dnorm nothing is trained.
  void record(Recorder& recorder, const ConstTensorView& norm, const TensorView& dnorm) const;
  void record_chunk(Recorder& recorder, const ConstTensorView& norm, const TensorView& dnorm, std::int64_t first_row,
                    std::int64_t num_rows) const;

  Parameter head_;
  std::int64_t chunk_rows_;
  LogitsChunks chunks_;
  TensorView losses_;  // (B * T) float32
  Objective objective_;
  TensorView logits_;    // (chunk_rows, Vp)
  TensorView loss_sum_;  // (1) float32
};

}  // namespace virgil
