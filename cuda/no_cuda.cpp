// The CUDA backend of a build that has none.
#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"

namespace virgil {

int cuda_device_count() { return 0; }

std::string cuda_problem() { return {}; }

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  throw user_error(
      "device cuda:{}: this build has no CUDA backend; use --device cpu, or build with one: install the CUDA toolkit (12.4 or "
      "newer) and configure with -DVIRGIL_CUDA=ON",
      options.device);
}

}  // namespace virgil
