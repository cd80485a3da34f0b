// Kernels with planted faults, and their sound neighbours, to test the simulator with.
#pragma once

#include "cuda/device/launch.h"

namespace virgil::cuda::faulty {

/// What is wrong with a kernel. Each launcher runs the sound kernel for kNone.
enum class Fault {
  kNone,
  kMissingBarrier,
  kMissingWriteAfterReadBarrier,
  kMissingSyncwarp,
  kDivergentBarrier,
  kHalfOfAWarpShuffles,
  kLanesDiverge,
  kLaneHasExited,
  kSharedOutOfBounds,
  kGlobalOutOfBounds,
  kUnwaitedCopy,
  kCopyWithoutBarrier,
  kThreadsOfABlockCollide,
  kBlocksCollide,
  kUninitialisedShared,
  kMisaligned,
};

/// out[0..63] = 64 values of in, each replaced by its block's neighbour, twice: barriers and shared memory.
void rotate(const LaunchContext& context, float* out, const float* in, Fault fault);
/// out[0..63] = in[i ^ 1] through shuffles or shared memory within a warp.
void swap_neighbours(const LaunchContext& context, float* out, const float* in, Fault fault);
/// out[0..255] = in through shared memory with cp.async, in two buffers.
void copy_async(const LaunchContext& context, float* out, const float* in, Fault fault);
/// out[block] = block, in 4 blocks.
void number_blocks(const LaunchContext& context, float* out, Fault fault);
/// out[0] = sum over `num_blocks` blocks of 32 ones each, by the last block to finish.
void sum_by_last_block(const LaunchContext& context, float* out, float* partial, unsigned* counter, int num_blocks,
                       bool acquire);
/// out[i] = value.
void fill(const LaunchContext& context, float* out, float value, int count);

}  // namespace virgil::cuda::faulty
