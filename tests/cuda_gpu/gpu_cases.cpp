// The backends of the GPU's conformance suite: the first CUDA device in each type that it computes in.
#include <algorithm>

#include "backend_conformance/harness.h"
#include "virgil/backend/cuda_backend.h"

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
  return cases;
}

}  // namespace virgil::conformance
