// One AdamW update over a flat buffer. Semantics: Backend::adamw_update.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "virgil/base/philox.h"

namespace virgil::cuda {

/// AdamWStep with the bias corrections computed on the host.
struct AdamWScalars {
  float learning_rate = 0;
  float beta1 = 0;
  float beta2 = 0;
  float eps = 0;
  float weight_decay = 0;
  double bias_correction1 = 1;  // 1 - beta1^t; double, so that what is derived from it is rounded once
  double bias_correction2 = 1;
  float max_norm = 0;
  float grad_scale = 1;
  RandomStream rounding;
  std::int64_t first_index = 0;
};

struct AdamWTensors {
  void* param = nullptr;
  DType param_dtype = DType::kFloat32;  // or bfloat16, rounded stochastically, without working
  void* working = nullptr;              // optional: param rounded to working_dtype
  DType working_dtype = DType::kBFloat16;
  void* m = nullptr;
  void* v = nullptr;
  DType moment_dtype = DType::kFloat32;  // or bfloat16, rounded stochastically
  const float* grad = nullptr;
  const float* norm = nullptr;  // (1): the update is left out when it is not finite
  std::int64_t count = 0;
};

void adamw_update(const LaunchContext& context, const AdamWTensors& tensors, const AdamWScalars& scalars);

}  // namespace virgil::cuda
