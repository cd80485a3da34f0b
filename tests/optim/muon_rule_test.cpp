#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/philox.h"
#include "virgil/model/float_copy.h"
#include "virgil/model/muon_tape.h"
#include "virgil/optim/optimizer.h"

namespace virgil {
namespace {

/// Row-major float64.
struct Matrix64 {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values = std::vector<double>(rows * columns);

  [[nodiscard]] double at(std::size_t row, std::size_t column) const { return values[row * columns + column]; }
  double& at(std::size_t row, std::size_t column) { return values[row * columns + column]; }
};

Matrix64 product(const Matrix64& a, const Matrix64& b) {
  Matrix64 out{a.rows, b.columns};
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t k = 0; k < a.columns; ++k) {
      for (std::size_t j = 0; j < b.columns; ++j) out.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  return out;
}

Matrix64 transposed(const Matrix64& a) {
  Matrix64 out{a.columns, a.rows};
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < a.columns; ++j) out.at(j, i) = a.at(i, j);
  }
  return out;
}

/// X <- a X + (b A + c A^2) X with A = X X^T, five times, as Jordan et al. 2024 write it.
Matrix64 orthogonalized(Matrix64 x) {
  const bool is_tall = x.rows > x.columns;
  if (is_tall) x = transposed(x);
  double norm = 0;
  for (const double value : x.values) norm += value * value;
  for (double& value : x.values) value /= std::max(std::sqrt(norm), 1e-7);
  for (int i = 0; i < 5; ++i) {
    const Matrix64 a = product(x, transposed(x));
    const Matrix64 squared = product(a, a);
    Matrix64 b = a;
    for (std::size_t j = 0; j < b.values.size(); ++j) b.values[j] = -4.7750 * a.values[j] + 2.0315 * squared.values[j];
    const Matrix64 turned = product(b, x);
    for (std::size_t j = 0; j < x.values.size(); ++j) x.values[j] = 3.4445 * x.values[j] + turned.values[j];
  }
  return is_tall ? transposed(x) : x;
}

Architecture model_with_muon() {
  return trainable(
      {.num_layers = 2, .num_heads = 3, .embedding_dim = 24, .block_size = 10, .vocab_size = 65, .biases = kAllBiases});
}

std::vector<float> drawn(std::int64_t count, std::uint32_t site) {
  const RandomStream stream{5, RandomPurpose::kInit, site, 0};
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random_normal(stream, i);
  return values;
}

/// A plan's parameters with gradients, of one process.
class MuonRun {
 public:
  explicit MuonRun(DType dtype, OptimizerKind kind = OptimizerKind::kMuon)
      : backend_(make_cpu_backend({.num_threads = 1})),
        plan_(model_with_muon(), {.step = StepShape{.batch_size = 1, .length = 8, .dtype = dtype, .optimizer = kind}},
              backend_->traits()),
        memory_(plan_, backend_->memory()),
        optimizer_(*backend_, plan_, memory_, {.weight_decay = 0.1, .max_norm = 1}) {
    for (const PlanItem& item : plan_.items()) std::ranges::fill(memory_.bytes(item.slot), std::byte{0});
    backend_->bind_workspace(memory_.bytes(PlanSlot::kWorkspace));
    std::uint32_t site = 0;
    for (const ParameterSpec& spec : plan_.parameters().parameters()) {
      write(plan_.master_slot(), spec, drawn(spec.num_elements(), site++));
      write(PlanSlot::kGradients, spec, drawn(spec.num_elements(), site++));
    }
    const float norm = 2;  // halves the gradients
    backend_->copy_from_host(memory_.scalar(PlanScalar::kGradientNorm), std::as_bytes(std::span(&norm, 1)));
    optimizer_.reset();
  }
  void step(std::int64_t t) { optimizer_.enqueue_update(t, 1e-2); }
  [[nodiscard]] std::vector<float> read(PlanSlot slot, const ParameterSpec& spec) const {
    std::vector<float> values(static_cast<std::size_t>(spec.num_elements()));
    copy_floats_to_host(*backend_, values, memory_.flat(plan_, slot, 0).slice(spec.offset, spec.num_elements()));
    return values;
  }
  [[nodiscard]] const MemoryPlan& plan() const { return plan_; }

 private:
  void write(PlanSlot slot, const ParameterSpec& spec, const std::vector<float>& values) const {
    copy_floats_to_device(*backend_, memory_.flat(plan_, slot, 0).slice(spec.offset, spec.num_elements()), values);
  }

  std::unique_ptr<Backend> backend_;
  MemoryPlan plan_;
  PlannedMemory memory_;
  Optimizer optimizer_;
};

/// NorMuon's normalization as Li et al. 2025 write it, for y = x W: a neuron is a column. v has one number for each.
void equalize_columns(Matrix64& x, std::vector<double>& v) {
  double squares = 0;
  for (std::size_t j = 0; j < x.columns; ++j) {
    double mean = 0;
    for (std::size_t i = 0; i < x.rows; ++i) mean += x.at(i, j) * x.at(i, j) / static_cast<double>(x.rows);
    v[j] = 0.95 * v[j] + 0.05 * mean;
    for (std::size_t i = 0; i < x.rows; ++i) {
      x.at(i, j) /= std::sqrt(v[j]) + 1e-10;
      squares += x.at(i, j) * x.at(i, j);
    }
  }
  const double scale = std::sqrt(static_cast<double>(x.values.size()) / squares);
  for (double& value : x.values) value *= scale;
}

/// Two updates of columns [first, first + count) of a parameter, in float64.
Matrix64 expected_columns(OptimizerKind kind, const std::vector<float>& param, const std::vector<float>& grad,
                          const Shape& shape, std::int64_t first, std::int64_t count) {
  const auto rows = static_cast<std::size_t>(shape[0]), wide = static_cast<std::size_t>(shape[1]);
  Matrix64 weights{rows, static_cast<std::size_t>(count)};
  Matrix64 momentum = weights;
  std::vector<double> v(weights.columns);
  for (int t = 0; t < 2; ++t) {
    Matrix64 direction = weights;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < weights.columns; ++j) {
        const std::size_t at = i * wide + static_cast<std::size_t>(first) + j;
        if (t == 0) weights.at(i, j) = static_cast<double>(param[at]);
        const double g = 0.5 * static_cast<double>(grad[at]);
        momentum.at(i, j) = 0.95 * momentum.at(i, j) + 0.05 * g;
        direction.at(i, j) = 0.05 * g + 0.95 * momentum.at(i, j);
      }
    }
    Matrix64 update = orthogonalized(direction);
    double scale = 0.2 * std::sqrt(static_cast<double>(std::max(rows, weights.columns)));
    if (kind == OptimizerKind::kNorMuon) {
      equalize_columns(update, v);
      scale = 0.2;
    }
    for (std::size_t i = 0; i < weights.values.size(); ++i) {
      weights.values[i] = weights.values[i] * (1 - 1e-2 * 0.1) - 1e-2 * scale * update.values[i];
    }
  }
  return weights;
}

class MuonRule : public testing::TestWithParam<OptimizerKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, MuonRule, testing::Values(OptimizerKind::kMuon, OptimizerKind::kNorMuon),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(MuonRule, UpdatesMatricesOfBlocksAsAFloat64ReferenceDoes) {
  const OptimizerKind kind = GetParam();
  MuonRun run(DType::kFloat32, kind);
  const ParameterLayout& layout = run.plan().parameters();
  int checked = 0;
  for (const ParameterSpec& spec : layout.parameters()) {
    if (layout.groups()[spec.group].optimizer.kind != kind) continue;
    MuonRun fresh(DType::kFloat32, kind);
    const std::vector<float> param = fresh.read(fresh.plan().master_slot(), spec);
    const std::vector<float> grad = fresh.read(PlanSlot::kGradients, spec);
    if (checked++ == 0) {
      run.step(1);
      run.step(2);
    }
    const std::vector<float> updated = run.read(run.plan().master_slot(), spec);
    std::vector<std::int64_t> matrices = spec.matrices;
    if (matrices.empty()) matrices = {spec.shape[1]};
    std::int64_t first = 0;
    for (const std::int64_t columns : matrices) {
      const Matrix64 expected = expected_columns(kind, param, grad, spec.shape, first, columns);
      // The iteration's slope is at most 3.4445^5 = 485 in each singular direction, of matrices of norm 1 that are off by a few
      // float32 roundings of sums of some hundred terms: 485 * 100 * 2^-24 = 3e-3 of an update of 1e-2 * 0.2 * sqrt(96) = 0.02.
      constexpr double kBound = 3e-3 * 0.02 + 1e-6;
      for (std::size_t i = 0; i < expected.values.size(); ++i) {
        const std::size_t row = i / expected.columns, column = i % expected.columns;
        const std::size_t at = row * static_cast<std::size_t>(spec.shape[1]) + static_cast<std::size_t>(first) + column;
        ASSERT_NEAR(static_cast<double>(updated[at]), expected.values[i], kBound) << spec.name << " " << row << " " << column;
      }
      first += columns;
    }
  }
  EXPECT_EQ(checked, 8) << "four matrices a block";
}

TEST_P(MuonRule, TurnsInBFloat16MuchAsInFloat32) {
  MuonRun exact(DType::kFloat32, GetParam());
  MuonRun rounded(DType::kBFloat16, GetParam());
  exact.step(1);
  rounded.step(1);
  const ParameterSpec& spec = exact.plan().parameters().find("transformer.h.1.mlp.c_fc.weight");
  const std::vector<float> a = exact.read(exact.plan().master_slot(), spec);
  const std::vector<float> b = rounded.read(rounded.plan().master_slot(), rounded.plan().parameters().find(spec.name));
  double difference = 0, size = 0;
  MuonRun fresh(DType::kFloat32);
  const std::vector<float> start = fresh.read(fresh.plan().master_slot(), spec);
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i] - b[i]), 2);
    size += std::pow(static_cast<double>(a[i] - start[i]), 2);
  }
  // Singular values end between 0.7 and 1.2 whatever the rounding, and directions with a small one turn most.
  EXPECT_LT(std::sqrt(difference / size), 0.1);
  EXPECT_GT(difference, 0);
}

TEST_P(MuonRule, LeavesEmbeddingsAndVectorsToAdamW) {
  MuonRun run(DType::kFloat32, GetParam());
  const ParameterLayout& layout = run.plan().parameters();
  for (const ParameterSpec& spec : layout.parameters()) {
    const bool is_block_matrix = spec.layer >= 0 && spec.shape.rank() == 2;
    EXPECT_EQ(layout.groups()[spec.group].optimizer.kind, is_block_matrix ? GetParam() : OptimizerKind::kAdamW) << spec.name;
  }
}

TEST(NorMuonRule, ItsUpdatesHaveTheRootMeanSquareOfAdamWs) {
  MuonRun run(DType::kFloat32, OptimizerKind::kNorMuon);
  const ParameterSpec& spec = run.plan().parameters().find("transformer.h.1.mlp.c_fc.weight");
  const std::vector<float> before = run.read(run.plan().master_slot(), spec);
  run.step(1);
  const std::vector<float> after = run.read(run.plan().master_slot(), spec);
  double squares = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    squares += std::pow(static_cast<double>(after[i]) - static_cast<double>(before[i]) * (1 - 1e-2 * 0.1), 2);
  }
  // Of a step of 1e-2; weights of about one round by 2^-24 of themselves, 3e-5 of an update of 2e-3.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(before.size())), 0.2 * 1e-2, 1e-3 * 0.2 * 1e-2);
}

TEST(NorMuonRule, KeepsOneSecondMomentForEachOutput) {
  MuonRun run(DType::kFloat32, OptimizerKind::kNorMuon);
  const ParameterLayout& layout = run.plan().parameters();
  std::int64_t neurons = 0;
  for (const ParameterSpec& spec : layout.parameters()) neurons += spec.num_neurons();
  EXPECT_EQ(neurons, 2 * (72 + 24 + 96 + 24)) << "queries, keys and values; projection; up; down";
  const auto v = std::ranges::find_if(run.plan().states(),
                                      [](const PlannedState& state) { return state.extent.per == StatePer::kNeuron; });
  ASSERT_NE(v, run.plan().states().end());
  EXPECT_EQ(v->extent.num_elements, 2 * (128 + 64 + 128 + 64)) << "each aligned to 64";
}

TEST(MuonTape, QueriesKeysAndValuesAreThreeMatrices) {
  const ParameterLayout layout(model_with_muon());
  const auto matrices_of = [&](const char* name) { return muon_matrix(layout.find(name), OptimizerKind::kMuon).matrices; };
  EXPECT_EQ(matrices_of("transformer.h.0.attn.c_attn.weight"), (std::vector<std::int64_t>{24, 24, 24}));
  EXPECT_TRUE(matrices_of("transformer.h.0.mlp.c_fc.weight").empty());
}

TEST(MuonTape, ItsScratchIsInThePlan) {
  const auto backend = make_cpu_backend({.num_threads = 1});
  // A context of one token: the update's matrices are larger than all activations.
  const auto plan_of = [&](OptimizerKind kind) {
    return MemoryPlan(model_with_muon(), {.step = StepShape{.batch_size = 1, .length = 1, .optimizer = kind}},
                      backend->traits());
  };
  const MemoryPlan muon = plan_of(OptimizerKind::kMuon);
  const MemoryPlan adamw = plan_of(OptimizerKind::kAdamW);
  const std::vector<MuonMatrix> matrices = {{.rows = 24, .columns = 96}};
  const MuonScratch scratch = muon_scratch(matrices, DType::kFloat32, backend->traits());
  EXPECT_GE(muon.by_category()[MemoryCategory::kActivations], scratch.arena_bytes);
  EXPECT_GT(muon.by_category()[MemoryCategory::kActivations], adamw.by_category()[MemoryCategory::kActivations]);
  EXPECT_LT(muon.by_category()[MemoryCategory::kOptimizer], adamw.by_category()[MemoryCategory::kOptimizer])
      << "one state for matrices in place of two";
}

}  // namespace
}  // namespace virgil
