#include "cuda/staged_upload.h"

#include <algorithm>
#include <cstring>

namespace virgil::cuda {

StagedUpload::StagedUpload() {
  for (Stage& stage : stages_) {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, kBufferBytes), "cudaMallocHost");
    stage = {PinnedMemory(memory), make_event()};
  }
}

void StagedUpload::copy(void* dst, std::span<const std::byte> src, cudaStream_t stream) {
  auto* target = static_cast<std::byte*>(dst);
  while (!src.empty()) {
    Stage& stage = stages_[next_];
    next_ = (next_ + 1) % stages_.size();
    check(cudaEventSynchronize(stage.sent.get()), "cudaEventSynchronize");
    const std::size_t size_bytes = std::min(src.size(), kBufferBytes);
    std::memcpy(stage.memory.get(), src.data(), size_bytes);
    check(cudaMemcpyAsync(target, stage.memory.get(), size_bytes, cudaMemcpyHostToDevice, stream), "cudaMemcpyAsync");
    check(cudaEventRecord(stage.sent.get(), stream), "cudaEventRecord");
    target += size_bytes;
    src = src.subspan(size_bytes);
  }
}

}  // namespace virgil::cuda
