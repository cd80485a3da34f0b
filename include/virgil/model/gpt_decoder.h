// Token-by-token forward passes with a key and value cache, for generation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

/// The first output of a forward pass that holds a NaN or an infinity.
struct NonFiniteOutput {
  std::string name;           // of the part of the model, as its parameters are named: "transformer.h.3.mlp.c_fc"
  std::int64_t position = 0;  // of the token
};

/// Decodes num_sequences sequences in lock step. Owns nothing on the device: backend, plan and memory must outlive it. Shares
/// the activation arena with Gpt: a training step in between destroys the caches, so reset() before decoding again.
class GptDecoder {
 public:
  /// Binds the plan's workspace to the backend.
  GptDecoder(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory);

  [[nodiscard]] const DecodeShape& shape() const { return plan_.decoder().shape(); }
  /// Forgets everything: the next tokens stand at position 0.
  void reset() { position_ = 0; }
  /// Forgets what stands from `position` on, at most position(): the next tokens stand there.
  void rewind(std::int64_t position);
  /// Positions held in the caches.
  [[nodiscard]] std::int64_t position() const { return position_; }
  /// Positions that still fit.
  [[nodiscard]] std::int64_t remaining() const { return plan_.decoder().shape().max_length - position_; }

  /// Appends `tokens`, (S, n) row-major with n >= 1, and returns the logits after each sequence's last token: (S, V) on the
  /// host, valid until the next call. Throws InternalError when they do not fit.
  [[nodiscard]] std::span<const float> append(std::span<const std::int32_t> tokens);

  /// Appends the same `tokens`, (n), to every sequence: reads them once and copies the caches. Only at position 0. Returns
  /// logits as append() does, the same for every sequence.
  [[nodiscard]] std::span<const float> append_shared(std::span<const std::int32_t> tokens);

  /// Reads `tokens`, (n), from position 0 as the first sequence and looks at the output of every op: where a result that is not
  /// finite began. Nothing when all are finite. Slow, and forgets what the caches held.
  [[nodiscard]] std::optional<NonFiniteOutput> find_non_finite(std::span<const std::int32_t> tokens);

 private:
  /// A pass in this memory.
  struct BoundPass {
    DecodePass pass;
    std::vector<Call> calls;
    TensorView tokens;
    ConstTensorView logits;
  };
  /// What a cache holds of one sequence.
  [[nodiscard]] TensorView cached(const DecodeTapes::Cache& cache, std::int64_t sequence) const;
  void run(std::span<const std::int32_t> tokens, std::int64_t num_sequences);
  void run_pass(std::span<const std::int32_t> tokens, std::int64_t num_sequences, std::int64_t rows, bool with_logits);
  void read_logits(const ConstTensorView& logits);
  void inspect(const BoundPass& bound, std::size_t index);

  Backend& backend_;
  const MemoryPlan& plan_;
  const PlannedMemory& memory_;
  const Architecture& config_;
  std::vector<BoundPass> passes_;
  std::int64_t position_ = 0;
  bool inspecting_ = false;
  std::optional<NonFiniteOutput> non_finite_;  // what inspect() found first
  std::vector<float> padded_logits_;           // (S, Vp)
  std::vector<float> logits_;                  // (S, V)
};

}  // namespace virgil
