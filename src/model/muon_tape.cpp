#include "virgil/model/muon_tape.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <variant>

#include "virgil/base/error.h"

namespace virgil {

namespace {

/// Jordan et al. 2024: chosen for a steep rise at zero; singular values end between 0.7 and 1.2.
constexpr float kLinear = 3.4445F;
constexpr float kCubic = -4.7750F;
constexpr float kQuintic = 2.0315F;
constexpr int kIterations = 5;
/// The root mean square of AdamW's updates (Liu et al. 2025).
constexpr double kUpdateRms = 0.2;

TensorView outside(Tape& tape, std::string name, DType dtype, const Shape& shape) {
  // Any slot but the arena's: what it is bound to is the caller's.
  return tape.tensor(
      {.name = std::move(name), .dtype = dtype, .shape = shape, .slot = PlanSlot::kGradients, .offset_bytes = 0});
}

/// X, made nearly orthogonal: the name of the tensor that holds it in the end.
TensorView orthogonalize(Tape& tape, TensorView x) {
  const std::int64_t rows = x.shape()[0];
  const std::int64_t columns = x.shape()[1];
  const bool is_tall = rows > columns;
  const Shape square = is_tall ? Shape{columns, columns} : Shape{rows, rows};
  const TensorView a = tape.tensor({.name = "A", .dtype = x.dtype(), .shape = square});
  const TensorView b = tape.tensor({.name = "B", .dtype = x.dtype(), .shape = square});
  TensorView next = tape.tensor({.name = "X'", .dtype = x.dtype(), .shape = x.shape()});
  for (int i = 0; i < kIterations; ++i) {
    tape.add(ops::Matmul{.out = a, .a = x, .b = x, .bias = {}, .options = {.transpose_a = is_tall, .transpose_b = !is_tall}});
    tape.add(ops::Matmul{.out = b, .a = a, .b = a, .bias = {}});
    tape.add(ops::ScaledSum{.out = b, .x = a, .y = b, .divisor = {}, .a = kCubic, .b = kQuintic});
    tape.add(ops::Matmul{.out = next, .a = is_tall ? x : b, .b = is_tall ? b : x, .bias = {}});
    tape.add(ops::ScaledSum{.out = next, .x = x, .y = next, .divisor = {}, .a = kLinear, .b = 1});
    std::swap(x, next);
  }
  return x;
}

/// Adds the factors of X's neurons to the tape.
TensorView equalize_neurons(MuonTape& muon, const TensorView& x, const MuonMatrix& matrix, std::int64_t first_neuron) {
  const Shape neurons{matrix.axis == NeuronAxis::kColumns ? x.shape()[1] : x.shape()[0]};
  const TensorView factors = muon.tape.tensor({.name = "factors", .dtype = DType::kFloat32, .shape = neurons});
  muon.tape.add(ops::NeuronMoments{
      .factors = factors, .v = muon.v, .direction = x, .norm = muon.norm, .first_neuron = first_neuron, .axis = matrix.axis});
  return factors;
}

void update_columns(MuonTape& muon, const MuonMatrix& matrix, std::int64_t first_column, std::int64_t columns, DType dtype) {
  Tape& tape = muon.tape;
  const Shape shape{matrix.rows, columns};
  const TensorView direction = tape.tensor({.name = "direction", .dtype = DType::kFloat32, .shape = shape});
  const TensorView size = tape.tensor({.name = "|direction|", .dtype = DType::kFloat32, .shape = {1}});
  const TensorView x = tape.tensor({.name = "X", .dtype = dtype, .shape = shape});
  tape.add(ops::MuonMomentum{
      .direction = direction, .momentum = muon.momentum, .grad = muon.grad, .norm = muon.norm, .first_column = first_column});
  tape.add(ops::L2Norm{.out = size, .inp = direction, .scale = 1});
  tape.add(ops::ScaledSum{.out = x, .x = direction, .y = {}, .divisor = size, .a = 1, .b = 0});
  const TensorView orthogonal = orthogonalize(tape, x);
  ConstTensorView factors;
  double scale = kUpdateRms;
  if (matrix.has_neuron_moments) {
    // Several matrices lie side by side only where the neurons are columns.
    factors = equalize_neurons(muon, orthogonal, matrix, first_column);
  } else {
    scale *= std::sqrt(static_cast<double>(std::max(shape[0], shape[1])));
  }
  tape.add(ops::MuonApply{.param = muon.param,
                          .working = muon.working,
                          .direction = orthogonal,
                          .factors = factors,
                          .norm = muon.norm,
                          .first_column = first_column,
                          .axis = matrix.axis,
                          .step = {.update_scale = static_cast<float>(scale)}});
}

}  // namespace

MuonMatrix muon_matrix(const ParameterSpec& spec, OptimizerKind kind) {
  VIRGIL_CHECK(spec.num_neurons() > 0, "{} is no matrix of a block", spec.name);
  VIRGIL_CHECK(spec.matrices.empty() || spec.order == WeightOrder::kInputsOutputs, "{}: matrices above each other", spec.name);
  return {.rows = spec.shape[0],
          .columns = spec.shape[1],
          .matrices = spec.matrices,
          .has_neuron_moments = kind == OptimizerKind::kNorMuon,
          .axis = spec.order == WeightOrder::kInputsOutputs ? NeuronAxis::kColumns : NeuronAxis::kRows};
}

std::vector<MuonMatrix> muon_matrices(const ParameterLayout& parameters) {
  std::vector<MuonMatrix> matrices;
  for (const ParameterSpec& spec : parameters.parameters()) {
    const OptimizerKind kind = parameters.groups()[spec.group].optimizer.kind;
    if (!updates_matrices_only(kind)) continue;
    MuonMatrix matrix = muon_matrix(spec, kind);
    if (std::ranges::find(matrices, matrix) == matrices.end()) matrices.push_back(std::move(matrix));
  }
  return matrices;
}

MuonTape record_muon(const MuonMatrix& matrix, DType dtype) {
  MuonTape muon;
  const Shape shape{matrix.rows, matrix.columns};
  muon.param = outside(muon.tape, "param", DType::kFloat32, shape);
  if (dtype != DType::kFloat32) muon.working = outside(muon.tape, "working", dtype, shape);
  muon.momentum = outside(muon.tape, "momentum", DType::kFloat32, shape);
  if (matrix.has_neuron_moments) {
    muon.v = outside(muon.tape, "v", DType::kFloat32, {matrix.axis == NeuronAxis::kColumns ? matrix.columns : matrix.rows});
  }
  muon.grad = outside(muon.tape, "grad", DType::kFloat32, shape);
  muon.norm = outside(muon.tape, "norm", DType::kFloat32, {1});
  const std::vector<std::int64_t> whole = {matrix.columns};
  std::int64_t first_column = 0;
  for (const std::int64_t columns : matrix.matrices.empty() ? whole : matrix.matrices) {
    update_columns(muon, matrix, first_column, columns, dtype);
    first_column += columns;
  }
  return muon;
}

void set_step(Call& call, const MuonStep& step) {
  std::visit(
      [&](auto& op) {
        if constexpr (requires { op.step.update_scale; }) {
          const float update_scale = op.step.update_scale;
          op.step = step;
          op.step.update_scale = update_scale;
        }
      },
      call);
}

MuonScratch muon_scratch(std::span<const MuonMatrix> matrices, DType dtype, const BackendTraits& traits) {
  MuonScratch scratch;
  for (const MuonMatrix& matrix : matrices) {
    const MuonTape muon = record_muon(matrix, dtype);
    const ArenaLayout arena(muon.tape, traits.alignment_bytes());
    scratch.arena_bytes = std::max(scratch.arena_bytes, arena.arena_bytes());
    for (const Call& call : muon.tape.calls()) {
      scratch.workspace_bytes = std::max(scratch.workspace_bytes, traits.workspace_bytes(call));
    }
  }
  return scratch;
}

}  // namespace virgil
