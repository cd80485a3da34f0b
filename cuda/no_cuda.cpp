// The CUDA backend of a build that has none.

#include <memory>
#include <string>

#include "virgil/backend/cuda_backend.h"
#include "virgil/backend/device_timer.h"
#include "virgil/base/error.h"
#include "virgil/dist/nccl_communicator.h"

namespace virgil {

int cuda_device_count() { return 0; }

std::string cuda_problem() { return {}; }

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  throw user_error(
      "device cuda:{}: this build has no CUDA backend; use --device cpu, or build with one: install the CUDA toolkit (12.4 or "
      "newer) and configure with -DVIRGIL_CUDA=ON",
      options.device);
}

std::unique_ptr<DeviceTimer> make_device_timer(Backend&) { return nullptr; }

bool is_built_with_nccl() { return false; }

std::unique_ptr<Communicator> make_nccl_communicator(Backend&, ProcessGroup&) {
  throw user_error(
      "several GPUs need NCCL, and this build has no CUDA backend: install the CUDA toolkit and NCCL, and configure with "
      "-DVIRGIL_CUDA=ON -DVIRGIL_NCCL=ON");
}

}  // namespace virgil
