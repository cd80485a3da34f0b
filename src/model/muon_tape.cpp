#include "virgil/model/muon_tape.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

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

void update_columns(MuonTape& muon, std::int64_t first_column, std::int64_t columns, DType dtype, MuonStep step) {
  Tape& tape = muon.tape;
  const Shape shape{muon.param.shape()[0], columns};
  step.update_scale = static_cast<float>(kUpdateRms * std::sqrt(static_cast<double>(std::max(shape[0], shape[1]))));
  const TensorView direction = tape.tensor({.name = "direction", .dtype = DType::kFloat32, .shape = shape});
  const TensorView size = tape.tensor({.name = "|direction|", .dtype = DType::kFloat32, .shape = {1}});
  const TensorView x = tape.tensor({.name = "X", .dtype = dtype, .shape = shape});
  tape.add(ops::MuonMomentum{.direction = direction,
                             .momentum = muon.momentum,
                             .grad = muon.grad,
                             .norm = muon.norm,
                             .first_column = first_column,
                             .step = step});
  tape.add(ops::L2Norm{.out = size, .inp = direction, .scale = 1});
  tape.add(ops::ScaledSum{.out = x, .x = direction, .y = {}, .divisor = size, .a = 1, .b = 0});
  tape.add(ops::MuonApply{.param = muon.param,
                          .working = muon.working,
                          .direction = orthogonalize(tape, x),
                          .norm = muon.norm,
                          .first_column = first_column,
                          .step = step});
}

}  // namespace

MuonMatrix muon_matrix(const ParameterSpec& spec) {
  VIRGIL_CHECK(spec.shape.rank() == 2, "{} is no matrix", spec.name);
  return {.rows = spec.shape[0], .columns = spec.shape[1], .matrices = spec.matrices};
}

MuonTape record_muon(const MuonMatrix& matrix, DType dtype, const MuonStep& step) {
  MuonTape muon;
  const Shape shape{matrix.rows, matrix.columns};
  muon.param = outside(muon.tape, "param", DType::kFloat32, shape);
  if (dtype != DType::kFloat32) muon.working = outside(muon.tape, "working", dtype, shape);
  muon.momentum = outside(muon.tape, "momentum", DType::kFloat32, shape);
  muon.grad = outside(muon.tape, "grad", DType::kFloat32, shape);
  muon.norm = outside(muon.tape, "norm", DType::kFloat32, {1});
  const std::vector<std::int64_t> whole = {matrix.columns};
  std::int64_t first_column = 0;
  for (const std::int64_t columns : matrix.matrices.empty() ? whole : matrix.matrices) {
    update_columns(muon, first_column, columns, dtype, step);
    first_column += columns;
  }
  return muon;
}

MuonScratch muon_scratch(std::span<const MuonMatrix> matrices, DType dtype, const BackendTraits& traits) {
  MuonScratch scratch;
  std::vector<MuonMatrix> seen;
  for (const MuonMatrix& matrix : matrices) {
    if (std::ranges::find(seen, matrix) != seen.end()) continue;
    seen.push_back(matrix);
    const MuonTape muon = record_muon(matrix, dtype, {});
    const ArenaLayout arena(muon.tape, traits.alignment_bytes());
    scratch.arena_bytes = std::max(scratch.arena_bytes, arena.arena_bytes());
    for (const Call& call : muon.tape.calls()) {
      scratch.workspace_bytes = std::max(scratch.workspace_bytes, traits.workspace_bytes(call));
    }
  }
  return scratch;
}

}  // namespace virgil
