// Stands in for nccl_communicator.cpp where the CUDA backend is built without NCCL.

#include <memory>

#include "virgil/base/error.h"
#include "virgil/dist/nccl_communicator.h"

namespace virgil {

bool is_built_with_nccl() { return false; }

std::unique_ptr<Communicator> make_nccl_communicator(Backend&, ProcessGroup&) {
  throw user_error(
      "several GPUs need NCCL, and this build has none: install it with its headers (from NVIDIA's Debian and Ubuntu packages "
      "libnccl-dev; docs/distributed.md), and configure with -DVIRGIL_NCCL=ON");
}

}  // namespace virgil
