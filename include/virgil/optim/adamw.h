// AdamW over a model's flat buffers.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/model/memory_plan.h"

namespace virgil {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;  // matrices and embeddings only, as the ParameterLayout says
  double max_norm = 1.0;      // clip by global norm; 0: off
  std::uint64_t seed = 0;     // of the stochastic rounding of bfloat16 moments and weights
};

/// Updates a plan's weights from its gradients: the float32 master weights, and in the same pass the 16-bit weights that the
/// passes read, where there are any; bfloat16 weights without a float32 copy are rounded stochastically. Owns nothing; moments
/// live in the plan's memory.
class AdamW {
 public:
  /// `rank` of the plan's processes.
  AdamW(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, const AdamWOptions& options,
        std::int64_t rank = 0);

  /// Zeroes the moments: the state before the first update.
  void reset();
  /// Computes the global gradient norm before clipping. Where the loss was multiplied by `loss_scale`, a power of two, the norm
  /// and the update are those of the loss itself. Waits for nothing.
  void enqueue_norm(double loss_scale = 1);
  /// Applies update number `t` (1 is the first), clipped by the norm that was computed last; when that is not finite nothing is
  /// changed. Waits for nothing.
  void enqueue_update(std::int64_t t, double learning_rate, double loss_scale = 1);
  /// Both, one after the other, in one process; returns the norm.
  double step(std::int64_t t, double learning_rate, double loss_scale = 1);
  /// With several processes: norms of this rank's part of the gradients, into part_norms(). The caller gathers those of all
  /// ranks before enqueue_norm() and, where the optimizer is sharded, the weights after enqueue_update().
  void enqueue_part_norms();
  /// (processes * buckets) float32: norms of the gradients' parts, rank by rank. enqueue_part_norms() sets this rank's.
  [[nodiscard]] TensorView part_norms() const { return part_norms_; }
  /// First and second moments, or this rank's parts, in the plan's optimizer_state_dtype.
  [[nodiscard]] const FlatTensor& first_moments() const { return m_; }
  [[nodiscard]] const FlatTensor& second_moments() const { return v_; }

 private:
  void enqueue_run(TensorView weights, TensorView working, TensorView m, TensorView v, TensorView gradients, bool decayed,
                   std::int64_t first_index);
  void enqueue_bucket(std::size_t bucket, std::int64_t rank);

  Backend& backend_;
  const ParameterLayout& layout_;
  DataParallel parallel_;
  std::int64_t rank_;
  AdamWOptions options_;
  FlatTensor weights_, working_, m_, v_;  // working_ is absent where weights_ are what the passes read
  FlatTensor gradients_;                  // the whole, or this rank's part
  TensorView norm_;                       // (1) float32
  TensorView part_norms_;                 // absent in one process
  AdamWStep step_;                        // of the update that is being asked for
};

/// Name of a parameter whose gradient holds a NaN or an infinity in what rank `rank` has of its sum, or an empty string. Reads
/// the gradients once, tensor by tensor.
[[nodiscard]] std::string find_non_finite_gradient(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                                                   std::int64_t rank = 0);
/// The same for the parameters themselves.
[[nodiscard]] std::string find_non_finite_weight(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                                                 std::int64_t rank = 0);

}  // namespace virgil
