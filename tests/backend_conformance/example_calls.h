// One call of every op, with operands of small odd sizes: what tests of all ops are made from. An op that is not here does not
// compile there.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "virgil/ops/call.h"

namespace virgil::conformance {

/// Makes calls whose operands one run owns. Results that a call leaves are named as its operands.
class ExampleCalls {
 public:
  explicit ExampleCalls(OpRun& run) : run_(run) {}

  void make(ops::SetZero& op) { op = {output("dst", {kB, kT, kC})}; }
  void make(ops::Copy& op) { op = {output("dst", {kB, kT, kC}), input({kB, kT, kC}, 1)}; }
  void make(ops::Convert& op) { op = {output("dst", {kN, kC}), input({kN, kC}, 1)}; }
  void make(ops::EmbeddingForward& op) {
    op = {output("out", {kB, kT, kC}), tokens(), input({kVocab, kC}, 1), input({kT, kC}, 2), 0, test_dropout(0.3F)};
  }
  void make(ops::EmbeddingBackward& op) {
    op = {gradient("dwte", {kVocab, kC}), gradient("dwpe", {kT, kC}), input({kB, kT, kC}, 1), tokens(), test_dropout(0.3F)};
  }
  void make(ops::NormForward& op) {
    op = {output("out", {kB, kT, kC}), statistic("mean"), statistic("rstd"),
          input({kB, kT, kC}, 1),      input({kC}, 2),    input({kC}, 3)};
  }
  void make(ops::ResidualNormForward& op) {
    op = {output("residual_out", {kB, kT, kC}),
          output("out", {kB, kT, kC}),
          statistic("mean"),
          statistic("rstd"),
          input({kB, kT, kC}, 1),
          input({kB, kT, kC}, 2),
          input({kC}, 3),
          input({kC}, 4),
          test_dropout(0.3F)};
  }
  void make(ops::NormBackward& op) {
    op = {updated("dinp", {kB, kT, kC}),
          gradient("dweight", {kC}),
          gradient("dbias", {kC}),
          input({kB, kT, kC}, 1),
          input({kB, kT, kC}, 2),
          input({kC}, 3),
          single({kN}, 0.1F),
          single({kN}, 0.9F)};
  }
  void make(ops::DropoutBackward& op) { op = {output("dinp", {kB, kT, kC}), input({kB, kT, kC}, 1), test_dropout(0.3F)}; }
  void make(ops::Matmul& op) { op = {output("out", {kB, kT, kF}), input({kB, kT, kC}, 1), input({kC, kF}, 2), input({kF}, 3)}; }
  void make(ops::MatmulGeluBackward& op) {
    op = {output("dinp", {kB, kT, kF}), input({kB, kT, kC}, 1), input({kF, kC}, 2), input({kB, kT, kF}, 3)};
  }
  void make(ops::BiasBackward& op) { op = {gradient("dbias", {kC}), input({kB, kT, kC}, 1)}; }
  void make(ops::GeluForward& op) { op = {output("out", {kN, kF}), input({kN, kF}, 1)}; }
  void make(ops::ReluSquaredForward& op) { op = {output("out", {kN, kF}), input({kN, kF}, 1)}; }
  void make(ops::ReluSquaredBackward& op) { op = {output("dinp", {kN, kF}), input({kN, kF}, 1), input({kN, kF}, 2)}; }
  void make(ops::GeluBackward& op) { op = {output("dinp", {kN, kF}), input({kN, kF}, 1), input({kN, kF}, 2)}; }
  void make(ops::GluForward& op) { op = {output("out", {kN, kF}), input({kN, 2 * kF}, 1)}; }
  void make(ops::GluBackward& op) { op = {output("dinp", {kN, 2 * kF}), input({kN, kF}, 1), input({kN, 2 * kF}, 2)}; }
  void make(ops::RotaryForward& op) {
    op = {output("out", {kB, kT, 3 * kC}), input({kB, kT, 3 * kC}, 1), kHeads, kHeads, 5, angles()};
  }
  void make(ops::RotaryBackward& op) {
    op = {output("dinp", {kB, kT, 3 * kC}), input({kB, kT, 3 * kC}, 1), kHeads, kHeads, angles()};
  }
  void make(ops::AttentionForward& op) {
    op = {output("out", {kB, kT, kC}), run_.output("lse", {kB, kHeads, kT}, DType::kFloat32), input({kB, kT, 3 * kC}, 1),
          kHeads};
  }
  void make(ops::AttentionBackward& op) {
    op = {output("dqkv", {kB, kT, 3 * kC}), input({kB, kT, kC}, 1),         input({kB, kT, kC}, 2),
          input({kB, kT, 3 * kC}, 3),       single({kB, kHeads, kT}, 2.0F), kHeads};
  }
  void make(ops::AttentionDecode& op) {
    const Shape caches{kB, kHeads, kT, kC / kHeads};
    op = {output("out", {kB, 2, kC}),
          updated("k_cache", caches),
          updated("v_cache", caches),
          input({kB, 2, 3 * kC}, 1),
          kHeads,
          kT - 3};
  }
  void make(ops::CausalConvForward& op) { op = {output("out", {kB, kT, kC}), input({kB, kT, kC}, 1), input({3 * kC}, 2)}; }
  void make(ops::CausalConvBackward& op) {
    op = {output("dinp", {kB, kT, kC}), gradient("dweight", {3 * kC}), input({kB, kT, kC}, 1), input({kB, kT, kC}, 2),
          input({3 * kC}, 3)};
  }
  void make(ops::CausalConvDecode& op) {
    op = {output("out", {kB, 2, kC}), updated("cache", {kB, kT, kC}), input({kB, 2, kC}, 1), input({3 * kC}, 2), kT - 3};
  }
  void make(ops::CrossEntropyForward& op) { op = {statistic("losses"), input({kN, kC}, 1), tokens(), kVocab}; }
  void make(ops::CrossEntropyForwardBackward& op) {
    op = {statistic("losses"), updated("logits", {kN, kC}), tokens(), kVocab, 0.5F};
  }
  void make(ops::ReduceSum& op) { op = {run_.output("out", {1}, DType::kFloat32), input({kN, kC}, 1)}; }
  void make(ops::L2Norm& op) { op = {run_.output("out", {1}, DType::kFloat32), input({kN, kC}, 1), 0.5F}; }
  void make(ops::AdamWUpdate& op) {
    const Shape shape{kN * kC};
    op = {gradient("param", shape), {},
          gradient("m", shape),     run_.in_out("v", shape, constant(kN * kC, 0.25F), DType::kFloat32),
          single(shape, 0.125F),    single({1}, 1.0F)};
  }
  void make(ops::MuonMomentum& op) {
    op = {run_.output("direction", {kN, kC - 8}, DType::kFloat32), gradient("momentum", {kN, kC}), single({kN, kC}, 0.125F),
          single({1}, 1.0F), 5};
  }
  void make(ops::ScaledSum& op) {
    op = {output("out", {kN, kC}), input({kN, kC}, 1), input({kN, kC}, 2), single({1}, 0.5F), 2.0F, -3.0F};
  }
  void make(ops::NeuronMoments& op) {
    op = {run_.output("factors", {kC - 8}, DType::kFloat32), run_.in_out("v", {kC}, constant(kC, 0.25F), DType::kFloat32),
          input({kN, kC - 8}, 1), single({1}, 1.0F), 5};
  }
  void make(ops::MuonApply& op) {
    op = {gradient("param", {kN, kC}), {}, input({kN, kC - 8}, 1), single({kC - 8}, 0.5F),
          single({1}, 1.0F),           5,  NeuronAxis::kColumns,   {.learning_rate = 0.5F}};
  }

 private:
  static constexpr std::int64_t kB = 2, kT = 9, kN = kB * kT, kHeads = 2, kC = 48, kF = 40, kVocab = 11;

  static std::vector<float> constant(std::int64_t count, float value) {
    return std::vector<float>(static_cast<std::size_t>(count), value);
  }
  /// Eighths between -2 and 2, which every type holds.
  static std::vector<float> values(std::int64_t count, std::uint64_t seed) {
    std::vector<float> values = normal_values(count, seed);
    for (float& value : values) value = std::round(8 * std::fmin(std::fmax(value, -2.0F), 2.0F)) / 8;
    return values;
  }
  static RotaryAngles angles() {
    RotaryAngles angles{.pairs = 10, .pairing = RotaryPairing::kNeighbours, .scale = 0.75F};
    for (int j = 0; j < angles.pairs; ++j) angles.frequency[j] = 1.0F / static_cast<float>(1 + j);
    return angles;
  }
  ConstTensorView tokens() { return run_.input({kB, kT}, random_tokens(kN, kVocab)); }
  ConstTensorView input(const Shape& shape, std::uint64_t seed) {
    return run_.input(shape, values(shape.num_elements(), seed));
  }
  ConstTensorView single(const Shape& shape, float value) {
    return run_.input(shape, constant(shape.num_elements(), value), DType::kFloat32);
  }
  TensorView output(const char* name, const Shape& shape) { return run_.output(name, shape); }
  TensorView statistic(const char* name) { return run_.output(name, {kN}, DType::kFloat32); }
  TensorView updated(const char* name, const Shape& shape) { return run_.in_out(name, shape, values(shape.num_elements(), 7)); }
  TensorView gradient(const char* name, const Shape& shape) {
    return run_.in_out(name, shape, values(shape.num_elements(), 8), DType::kFloat32);
  }

  OpRun& run_;
};

}  // namespace virgil::conformance
