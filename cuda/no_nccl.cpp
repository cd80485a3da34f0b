// Stands in for nccl_communicator.cpp where Virgil is built without NCCL.
#include "virgil/base/error.h"
#include "virgil/dist/nccl_communicator.h"

namespace virgil {

std::unique_ptr<Communicator> make_nccl_communicator(Backend&, ProcessGroup& group) {
  throw user_error(
      "{} processes on GPUs need NCCL, and this build has none: install it with its headers (NVIDIA's package libnccl-dev) and "
      "configure with -DVIRGIL_NCCL=ON, or use --device cpu",
      group.size());
}

}  // namespace virgil
