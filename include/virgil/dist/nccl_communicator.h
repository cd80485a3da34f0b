// Collectives between GPUs. Defined by the CUDA backend's libraries (virgil_cuda, virgil_cuda_sim), or by virgil_no_cuda.
#pragma once

#include <memory>

#include "virgil/dist/communicator.h"
#include "virgil/dist/process_group.h"

namespace virgil {

class Backend;

/// Collectives over the memory of a CUDA backend, on a stream of their own. Both outlive it. NCCL's id travels through the
/// group; the time limit is the group's. Throws UserError when Virgil is built without NCCL, when NCCL cannot connect the
/// ranks, and when two ranks of a machine share a GPU.
[[nodiscard]] std::unique_ptr<Communicator> make_nccl_communicator(Backend& backend, ProcessGroup& group);

}  // namespace virgil
