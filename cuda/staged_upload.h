// Copies from host memory to the GPU that stop neither the host nor what the GPU computes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "cuda/handles.h"
#include "virgil/memory/buffer.h"

namespace virgil::cuda {

/// The caller's memory may be pageable and may change at once, and the tensor may still be read by work in the queue. So bytes
/// pass through a ring of pinned memory and, on a stream of their own, into a ring on the device, while earlier work computes;
/// a copy on the device then puts them into place, in the order of that work. The host waits only where the rings, or the
/// number of pieces, are full: several batches of tokens fit.
class StagedUpload {
 public:
  static constexpr std::int64_t kRingBytes = std::int64_t{4} << 20;  // of pinned memory, and as many of the device's
  static constexpr std::int64_t kMaxPieceBytes = kRingBytes / 2;
  static constexpr std::size_t kMaxPieces = 64;  // on their way at a time

  explicit StagedUpload(MemoryResource& device_memory);
  /// Queues the copy on `stream`, the same at every call.
  void copy(void* dst, std::span<const std::byte> src, cudaStream_t stream);

 private:
  struct Events {
    Event arrived;   // on the device
    Event in_place;  // in the tensor
  };
  /// Part of both rings, taken until its bytes are in place.
  struct Piece {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    Events events;
  };
  /// The place of the next piece. Waits for those that lie there, in the order in which they were sent.
  [[nodiscard]] std::int64_t make_room(std::int64_t size_bytes);
  void send_piece(std::byte* dst, std::span<const std::byte> src, cudaStream_t stream);

  PinnedMemory host_ring_;
  Buffer device_ring_;
  Stream copies_;
  std::int64_t next_ = 0;  // where the latest piece ends
  std::deque<Piece> on_their_way_;
  std::vector<Events> spare_events_;
};

}  // namespace virgil::cuda
