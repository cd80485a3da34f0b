#include "cuda_sim/faulty_kernels.h"

#include "cuda/device/ptx.h"

namespace virgil::cuda::faulty {

namespace {

constexpr int kThreads = 64;

struct Values {
  float values[kThreads];
  float guard[kThreads];
};

__global__ void rotate_kernel(float* out, const float* in, Fault fault) {
  Values& shared = static_smem<Values>();
  const int i = static_cast<int>(threadIdx.x);
  float value = in[i];
  for (int round = 0; round < 2; ++round) {
    if (fault != Fault::kUninitialisedShared || i != 5) shared.values[i] = value;
    if (fault == Fault::kDivergentBarrier && i < 32) {
      __syncthreads();
    } else if (fault != Fault::kMissingBarrier) {
      __syncthreads();
    }
    const int next = fault == Fault::kSharedOutOfBounds ? i + 2 * kThreads : (i + 1) % kThreads;
    value = shared.values[next];
    if (fault != Fault::kMissingWriteAfterReadBarrier) __syncthreads();
  }
  out[fault == Fault::kGlobalOutOfBounds ? i + 1 : fault == Fault::kThreadsOfABlockCollide ? i / 2 * 2 : i] = value;
}

__global__ void swap_kernel(float* out, const float* in, Fault fault) {
  Values& shared = static_smem<Values>();
  const int i = static_cast<int>(threadIdx.x);
  if (fault == Fault::kLaneHasExited && i == 63) return;
  if (fault == Fault::kHalfOfAWarpShuffles) {
    if (i % 32 < 16) out[i] = __shfl_xor_sync(kFullMask, in[i], 1);
    return;
  }
  if (fault == Fault::kLanesDiverge) {
    out[i] = i % 2 == 0 ? __shfl_xor_sync(kFullMask, in[i], 1) : __shfl_down_sync(kFullMask, in[i], 1);
    return;
  }
  const float by_shuffle = __shfl_xor_sync(kFullMask, in[i], 1);
  shared.values[i] = in[i];
  if (fault != Fault::kMissingSyncwarp) __syncwarp();
  out[i] = (shared.values[i ^ 1] + by_shuffle) / 2;
}

struct TwoBuffers {
  float4 values[2][kThreads / 2];
};

__global__ void copy_kernel(float* out, const float* in, Fault fault) {
  TwoBuffers& shared = *dynamic_smem<TwoBuffers>();
  const int i = static_cast<int>(threadIdx.x);
  const auto* from = reinterpret_cast<const float4*>(in) + (fault == Fault::kMisaligned ? 0 : i);
  if (fault == Fault::kMisaligned) from = reinterpret_cast<const float4*>(in + 1);
  ptx::cp_async_16(&shared.values[0][i], from);
  ptx::cp_async_commit();
  ptx::cp_async_16(&shared.values[1][i], from + (fault == Fault::kMisaligned ? 0 : 32));
  ptx::cp_async_commit();
  for (int buffer = 0; buffer < 2; ++buffer) {
    if (fault != Fault::kUnwaitedCopy || buffer == 1) {
      if (buffer == 0) {
        ptx::cp_async_wait<1>();
      } else {
        ptx::cp_async_wait<0>();
      }
    }
    if (fault != Fault::kCopyWithoutBarrier) __syncthreads();
    reinterpret_cast<float4*>(out)[buffer * 32 + i] = shared.values[buffer][i ^ 1];
  }
}

__global__ void number_kernel(float* out, Fault fault) {
  if (threadIdx.x == 0) out[fault == Fault::kBlocksCollide ? 0 : blockIdx.x] = static_cast<float>(blockIdx.x);
}

struct Ticket {
  unsigned value;
};

__global__ void last_block_kernel(float* out, float* partial, unsigned* counter, bool acquire) {
  Ticket& ticket = static_smem<Ticket>();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = 32.0F;
    release_fence();
    ticket.value = atomicAdd(counter, 1U);
  }
  __syncthreads();
  if (ticket.value != gridDim.x - 1) return;  // the whole block leaves
  if (acquire) acquire_fence();
  if (threadIdx.x == 0) {
    float sum = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];
    out[0] = sum;
  }
}

__global__ void fill_kernel(float* out, float value, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) out[i] = value;
}

}  // namespace

void rotate(const LaunchContext& context, float* out, const float* in, Fault fault) {
  launch(context, 1, kThreads, 0, rotate_kernel, out, in, fault);
}
void swap_neighbours(const LaunchContext& context, float* out, const float* in, Fault fault) {
  launch(context, 1, kThreads, 0, swap_kernel, out, in, fault);
}
void copy_async(const LaunchContext& context, float* out, const float* in, Fault fault) {
  launch(context, 1, kThreads / 2, sizeof(TwoBuffers), copy_kernel, out, in, fault);
}
void number_blocks(const LaunchContext& context, float* out, Fault fault) {
  launch(context, 4, 32, 0, number_kernel, out, fault);
}
void sum_by_last_block(const LaunchContext& context, float* out, float* partial, unsigned* counter, int num_blocks,
                       bool acquire) {
  launch(context, static_cast<unsigned>(num_blocks), 32, 0, last_block_kernel, out, partial, counter, acquire);
}
void fill(const LaunchContext& context, float* out, float value, int count) {
  launch(context, blocks_for(count, 128), 128, 0, fill_kernel, out, value, count);
}

}  // namespace virgil::cuda::faulty
