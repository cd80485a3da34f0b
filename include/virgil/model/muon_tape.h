// The update of a matrix by Muon or NorMuon, as the calls that a backend runs: the plan reads from them what memory they take,
// the optimizer runs them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/arena_layout.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/parameter_table.h"
#include "virgil/model/tape.h"
#include "virgil/ops/muon.h"

namespace virgil {

/// A parameter that Muon updates: (rows, columns), of which each of `matrices` has so many columns. Queries, keys and values
/// that lie side by side are three matrices.
struct MuonMatrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::int64_t> matrices = {};  // their columns; empty: it is one
  bool has_neuron_moments = false;          // NorMuon's
  NeuronAxis axis = NeuronAxis::kColumns;
  friend bool operator==(const MuonMatrix&, const MuonMatrix&) = default;
};
[[nodiscard]] MuonMatrix muon_matrix(const ParameterSpec& spec, OptimizerKind kind);
/// Of all parameters that optimizers of matrices update, each different one once.
[[nodiscard]] std::vector<MuonMatrix> muon_matrices(const ParameterLayout& parameters);

/// Calls of an update, with their scratch as activations. The tensors below are not: they lie wherever the parameter does.
struct MuonTape {
  Tape tape;
  TensorView param;     // (rows, columns) float32
  TensorView working;   // (rows, columns) 16-bit, absent where the products are float32
  TensorView momentum;  // (rows, columns) float32
  TensorView v;         // (neurons) float32; absent but for NorMuon
  TensorView grad;      // (rows, columns) float32
  TensorView norm;      // (1) float32: of all gradients
};

/// Nesterov's momentum D, then X = D / |D| and five times X = a X + (b A + c A^2) X with A = X X^T, in `dtype`, which brings
/// the singular values near one (Jordan et al. 2024; of a tall matrix the transposed products), then param -= learning_rate
/// update_scale X. update_scale is 0.2 sqrt(max(rows, columns)) of each matrix: the update is then about as large as AdamW's
/// (Liu et al. 2025), so that both take one learning rate and weight decay. With neuron moments (Li et al. 2025) the neurons of
/// X are first divided by the roots of their second moments, and update_scale makes the root mean square exactly 0.2. The
/// calls' steps have their update_scale alone: set_step() sets the rest.
[[nodiscard]] MuonTape record_muon(const MuonMatrix& matrix, DType dtype);
/// Gives a call of such a tape the numbers of `step`, but for its update_scale.
void set_step(Call& call, const MuonStep& step);

/// What updates of these parameters need beside them, one after the other.
struct MuonScratch {
  std::int64_t arena_bytes = 0;
  std::int64_t workspace_bytes = 0;  // of any call
};
[[nodiscard]] MuonScratch muon_scratch(std::span<const MuonMatrix> matrices, DType dtype, const BackendTraits& traits);

}  // namespace virgil
