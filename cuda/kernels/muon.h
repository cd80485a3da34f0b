// The passes of Muon around its products. Semantics: virgil/ops/muon.h.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/ops/muon.h"

namespace virgil::cuda {

/// Pointers are to the first of the columns.
struct MuonMomentumTensors {
  float* direction = nullptr;
  float* momentum = nullptr;
  const float* grad = nullptr;
  const float* norm = nullptr;  // (1)
};
void muon_momentum(const LaunchContext& context, const MuonMomentumTensors& tensors, const MatrixColumns& sizes,
                   const MuonStep& step);

struct ScaledSumTensors {
  void* out = nullptr;
  DType dtype = DType::kFloat32;  // of out and y
  const void* x = nullptr;
  DType x_dtype = DType::kFloat32;  // the same, or float32
  const void* y = nullptr;          // optional
  const float* divisor = nullptr;   // optional, (1)
};
/// out = (a x + b y) / max(divisor, kLeastDivisor).
void scaled_sum(const LaunchContext& context, const ScaledSumTensors& tensors, std::int64_t count, float a, float b);

struct NeuronMomentsTensors {
  float* factors = nullptr;  // (neurons)
  float* v = nullptr;        // (neurons)
  const void* direction = nullptr;
  DType direction_dtype = DType::kFloat32;
  NeuronAxis axis = NeuronAxis::kColumns;
  const float* norm = nullptr;  // (1)
};
void neuron_moments(const LaunchContext& context, const NeuronMomentsTensors& tensors, const MatrixColumns& sizes,
                    const MuonStep& step);

struct MuonApplyTensors {
  float* param = nullptr;
  void* working = nullptr;  // optional: param rounded to working_dtype
  DType working_dtype = DType::kBFloat16;
  const void* direction = nullptr;
  DType direction_dtype = DType::kFloat32;
  const float* factors = nullptr;          // optional, (neurons)
  NeuronAxis axis = NeuronAxis::kColumns;  // of factors
  const float* norm = nullptr;             // (1)
};
void muon_apply(const LaunchContext& context, const MuonApplyTensors& tensors, const MatrixColumns& sizes,
                const MuonStep& step);

}  // namespace virgil::cuda
