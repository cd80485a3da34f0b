#include "model/blocks/classifier.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "virgil/ops/matmul.h"
#include "virgil/ops/reductions.h"

namespace virgil {

void Classifier::declare(ParameterTable& table) {
  if (table.model().tie_weights) return;
  table.add_matrix(TensorGroup::kHead, module_path(table.names().head, "weight"), Symbol::kV, Symbol::kC,
                   ParameterTable::usual_std());
}

Classifier::Classifier(Recorder& recorder, Parameter head, ObjectiveKind objective, std::int64_t chunk_rows,
                       LogitsChunks chunks)
    : head_(std::move(head)),
      chunk_rows_(chunk_rows),
      chunks_(chunks),
      losses_(recorder.whole_slot("losses", PlanSlot::kLosses, DType::kFloat32, {recorder.shape().rows()})),
      objective_(make_objective(recorder, objective)),
      logits_(recorder.whole_slot("logits", PlanSlot::kLogits, recorder.shape().dtype,
                                  {chunk_rows, recorder.model().padded_vocab_size()})),
      loss_sum_(recorder.tape().tensor({.name = "loss sum",
                                        .dtype = DType::kFloat32,
                                        .shape = {1},
                                        .slot = PlanSlot::kScalars,
                                        .offset_bytes = offset_of(PlanScalar::kLossSum)})) {}

void Classifier::evaluate(Recorder& recorder, const ConstTensorView& norm) const { record(recorder, norm, {}); }

TensorView Classifier::train(Recorder& recorder, const ConstTensorView& norm) const {
  const TensorView dnorm = recorder.activation(std::string(recorder.names().last_norm) + ".grad", norm.shape()[-1]);
  record(recorder, norm, dnorm);
  return dnorm;
}

void Classifier::record(Recorder& recorder, const ConstTensorView& norm, const TensorView& dnorm) const {
  const std::int64_t rows = recorder.shape().rows();
  const std::int64_t whole_chunks = rows / chunk_rows_;
  const std::int64_t recorded = chunks_ == LogitsChunks::kAll ? whole_chunks : std::min<std::int64_t>(whole_chunks, 1);
  if (recorded > 0) recorder.tape().set_repeats(whole_chunks / recorded);
  for (std::int64_t chunk = 0; chunk < recorded; ++chunk) {
    record_chunk(recorder, norm, dnorm, chunk * chunk_rows_, chunk_rows_);
  }
  recorder.tape().set_repeats(1);
  if (rows % chunk_rows_ != 0) record_chunk(recorder, norm, dnorm, whole_chunks * chunk_rows_, rows % chunk_rows_);
  recorder.tape().add(ops::ReduceSum{.out = loss_sum_, .inp = losses_});
}

void Classifier::record_chunk(Recorder& recorder, const ConstTensorView& norm, const TensorView& dnorm, std::int64_t first,
                              std::int64_t n) const {
  Tape& tape = recorder.tape();
  const std::int64_t C = norm.shape()[-1];
  const ConstTensorView inp = norm.slice(first * C, {n, C});
  const TensorView logits = logits_.slice(0, {n, logits_.shape()[1]});
  const LossRows rows{.logits = logits, .losses = losses_.slice(first, {n}), .first = first};
  tape.add(ops::Matmul{.out = logits, .a = inp, .b = head_.value, .bias = {}, .options = {.transpose_b = true}});
  if (!dnorm.present()) {
    std::visit([&](const auto& objective) { objective.evaluate(recorder, rows); }, objective_);
    return;
  }
  std::visit([&](const auto& objective) { objective.train(recorder, rows); }, objective_);
  tape.add(ops::Matmul{.out = dnorm.slice(first * C, {n, C}), .a = logits, .b = head_.value, .bias = {}});
  tape.add(ops::Matmul{.out = recorder.gradient(head_),
                       .a = logits,
                       .b = inp,
                       .bias = {},
                       .options = {.transpose_a = true, .accumulate = true}});
}

}  // namespace virgil
