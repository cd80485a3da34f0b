// What the ranks' GPUs must have in common.
#pragma once

#include "virgil/dist/process_group.h"

namespace virgil::cuda {

/// Throws UserError, on all ranks, when two of them share a GPU or have different kinds of GPU or of NCCL. `device` is this
/// rank's, as cudaSetDevice counts.
void check_rank_devices(int device, int nccl_version, ProcessGroup& group);

}  // namespace virgil::cuda
