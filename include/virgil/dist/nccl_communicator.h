// Collectives between GPUs. Defined by the CUDA backend's libraries (virgil_cuda, virgil_cuda_sim), or by virgil_no_cuda.
#pragma once

#include <memory>

#include "virgil/dist/communicator.h"
#include "virgil/dist/process_group.h"

namespace virgil {

class Backend;

/// Whether make_nccl_communicator can make one.
[[nodiscard]] bool is_built_with_nccl();

/// Collectives over the memory of a CUDA backend, on a stream of their own. Both outlive it. NCCL's id travels through the
/// group; the time limit is the group's. All ranks call it. Throws UserError when Virgil is built without NCCL, on all ranks
/// when two of them share a GPU or when GPUs or NCCL's versions differ, and when NCCL cannot connect the ranks; LostRankError
/// when one of them does not come.
///
/// Its destructor waits for what has been started, up to the time limit; when an exception is on its way it gives it up.
[[nodiscard]] std::unique_ptr<Communicator> make_nccl_communicator(Backend& backend, ProcessGroup& group);

}  // namespace virgil
