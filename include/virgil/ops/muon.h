// Muon (Jordan et al. 2024): momentum whose singular values are all made one; NorMuon (Li et al. 2025) then makes the sizes of
// its neurons alike. These are the passes around the products of the iteration, which are ops::Matmul's; record_muon
// (model/muon_tape.h) puts them together.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil {

struct MuonStep {
  float learning_rate = 0;
  float momentum = 0.95F;
  float beta2 = 0.95F;  // of NeuronMoments
  float weight_decay = 0;
  float update_scale = 1;  // times the learning rate
  float max_norm = 0;      // gradients are scaled by min(1, max_norm / norm); 0 switches clipping off
  float grad_scale = 1;    // gradients are multiplied by this before anything else (the norm includes it already)
};

/// Columns of a matrix (rows, N): [first_column, first_column + columns). A matrix that is stored beside others has some of
/// their tensor's columns.
struct MatrixColumns {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t row_stride = 0;  // N
  [[nodiscard]] std::int64_t num_elements() const { return rows * columns; }
};

/// Which side of a matrix its neurons, the outputs, are.
enum class NeuronAxis : std::uint8_t { kColumns, kRows };

namespace ops {

/// Nesterov's momentum: of some columns, momentum = mu momentum + (1 - mu) g and direction = (1 - mu) g + mu momentum, where g
/// is the gradient, scaled and clipped by norm (1), the global norm from L2Norm. momentum and grad (rows, N) float32; direction
/// (rows, columns) float32. Where norm is not finite momentum stays and direction is zero.
struct MuonMomentum {
  static constexpr std::string_view kName = "muon_momentum";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView direction;
  TensorView momentum;
  ConstTensorView grad;
  ConstTensorView norm;
  std::int64_t first_column = 0;
  MuonStep step = {};

  static void operands(auto& op, auto&& visit) {
    visit("direction", op.direction, Access::kWrite);
    visit("momentum", op.momentum, Access::kUpdate);
    visit("grad", op.grad, Access::kRead);
    visit("norm", op.norm, Access::kRead);
  }
  [[nodiscard]] MatrixColumns check() const;
};

/// out = a x + b y, and divided by max(divisor, 1e-7) where there is a divisor (1), float32. x float32 or of out's type; y of
/// out's type, absent where it does not count. Arithmetic is float32. y may be out.
struct ScaledSum {
  static constexpr std::string_view kName = "scaled_sum";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView out;
  ConstTensorView x;
  ConstTensorView y;
  ConstTensorView divisor;
  float a = 1;
  float b = 0;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("x", op.x, Access::kRead);
    visit("y", op.y, Access::kRead);
    visit("divisor", op.divisor, Access::kRead);
  }
  /// The number of elements.
  [[nodiscard]] std::int64_t check() const;
};
/// The least that ScaledSum divides by.
inline constexpr float kLeastDivisor = 1e-7F;

/// NorMuon's second moment, of the neurons of one matrix: v = beta2 v + (1 - beta2) s with s the mean square of the direction
/// over a neuron's inputs, and factors = u / (sqrt(v) + 1e-10), where u is such that factors times direction has a root mean
/// square of one. v is not corrected for its start at zero, as in the authors' code: that is one factor for all neurons, which
/// u undoes. direction (rows, columns) of any float type; factors (neurons) float32; v (N) float32, of which the matrix has
/// [first_neuron, first_neuron + neurons). Where norm (1) is not finite v stays and factors are zero; they are also zero where
/// the direction is.
struct NeuronMoments {
  static constexpr std::string_view kName = "neuron_moments";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView factors;
  TensorView v;
  ConstTensorView direction;
  ConstTensorView norm;
  std::int64_t first_neuron = 0;
  NeuronAxis axis = NeuronAxis::kColumns;
  MuonStep step = {};

  static void operands(auto& op, auto&& visit) {
    visit("factors", op.factors, Access::kWrite);
    visit("v", op.v, Access::kUpdate);
    visit("direction", op.direction, Access::kRead);
    visit("norm", op.norm, Access::kRead);
  }
  /// The direction's.
  [[nodiscard]] MatrixColumns check() const;
};
/// What NeuronMoments adds to the root of v.
inline constexpr float kNeuronEps = 1e-10F;

/// Of some columns, param = (1 - learning_rate weight_decay) param - learning_rate update_scale direction; working becomes
/// param rounded to nearest. param (rows, N) float32; working (rows, N) 16-bit, or absent; direction (rows, columns) of any
/// float type, each neuron of it times its factor where there are factors, (neurons) float32. Where norm (1) is not finite
/// nothing is changed.
struct MuonApply {
  static constexpr std::string_view kName = "muon_apply";
  static constexpr std::string_view kFamily = "optimizer";
  TensorView param;
  TensorView working;
  ConstTensorView direction;
  ConstTensorView factors;
  ConstTensorView norm;
  std::int64_t first_column = 0;
  NeuronAxis axis = NeuronAxis::kColumns;  // of factors
  MuonStep step = {};

  static void operands(auto& op, auto&& visit) {
    visit("param", op.param, Access::kUpdate);
    visit("working", op.working, Access::kUpdate);
    visit("direction", op.direction, Access::kRead);
    visit("factors", op.factors, Access::kRead);
    visit("norm", op.norm, Access::kRead);
  }
  [[nodiscard]] MatrixColumns check() const;
};

}  // namespace ops

}  // namespace virgil
