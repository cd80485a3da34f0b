// Copies from host memory to the GPU that do not stop the host.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "cuda/handles.h"

namespace virgil::cuda {

/// The caller's memory may be pageable and may change at once: bytes pass through two pinned buffers in turns, so that a buffer
/// is filled while the other one travels. A batch of tokens fits into one.
class StagedUpload {
 public:
  static constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

  StagedUpload();
  /// Queues the copy on `stream`.
  void copy(void* dst, std::span<const std::byte> src, cudaStream_t stream);

 private:
  struct Stage {
    PinnedMemory memory;
    Event sent;
  };
  std::array<Stage, 2> stages_;
  std::size_t next_ = 0;
};

}  // namespace virgil::cuda
