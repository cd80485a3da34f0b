// The backends of the GPU's conformance suite: the first CUDA device in each type that it computes in; and its attention by
// cuDNN, where the program and the machine have it, against the same references and bounds.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "backend_conformance/harness.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"

namespace virgil::conformance {

namespace {

std::unique_ptr<Backend> first_gpu() { return make_cuda_backend({}); }

/// Skips the test where there is no GPU, or one that does not compute in `dtype` (bfloat16 before sm_80).
void skip_unless_computes(DType dtype) {
  if (cuda_device_count() == 0) GTEST_SKIP() << cuda_problem();
  const std::unique_ptr<Backend> backend = first_gpu();
  const std::span<const DType> dtypes = backend->dtypes();
  if (std::ranges::find(dtypes, dtype) == dtypes.end()) {
    GTEST_SKIP() << backend->description() << " does not compute in " << name_of(dtype);
  }
}

std::unique_ptr<Backend> first_gpu_with_cudnn() { return make_cuda_backend({.attention = AttentionKernels::kCudnn}); }

void skip_unless_cudnn_computes(DType dtype) {
  skip_unless_computes(dtype);
  if (testing::Test::IsSkipped()) return;
  try {
    static_cast<void>(first_gpu_with_cudnn());
  } catch (const UserError& error) {
    GTEST_SKIP() << error.what();
  }
}

BackendCase with_cudnn(DType dtype) {
  return {.name = fmt::format("cuda_cudnn_{}", name_of(dtype)),
          .make = first_gpu_with_cudnn,
          .dtype = dtype,
          .make_twin = first_gpu_with_cudnn,
          .enter = [dtype] { skip_unless_cudnn_computes(dtype); },
          .leave = nullptr,
          .checks_indices = false,
          .suite = "Attention",
          .attention_dropout = false,
          .grouped_heads = false,
          .windows = false,
          .shortest_attention = 2};
}

}  // namespace

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    cases.push_back({.name = fmt::format("cuda_{}", name_of(dtype)),
                     .make = first_gpu,
                     .dtype = dtype,
                     .make_twin = first_gpu,  // another stream, other plans of matrix products: the same bits
                     .enter = [dtype] { skip_unless_computes(dtype); },
                     .leave = nullptr,
                     .same_products = true,
                     .checks_indices = false});
  }
  for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) cases.push_back(with_cudnn(dtype));
  return cases;
}

}  // namespace virgil::conformance
