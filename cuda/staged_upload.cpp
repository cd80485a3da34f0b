#include "cuda/staged_upload.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cuda/device_resource.h"
#include "virgil/base/shape.h"

namespace virgil::cuda {

StagedUpload::StagedUpload(MemoryResource& device_memory)
    : device_ring_(device_memory, kRingBytes, {MemoryCategory::kData, "uploads"}), copies_(make_stream()) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, static_cast<std::size_t>(kRingBytes)), "cudaMallocHost");
  host_ring_ = PinnedMemory(memory);
  for (std::size_t i = 0; i < kMaxPieces; ++i) spare_events_.push_back({make_event(), make_event()});
}

void StagedUpload::copy(void* dst, std::span<const std::byte> src, cudaStream_t stream) {
  auto* target = static_cast<std::byte*>(dst);
  while (!src.empty()) {
    const std::span<const std::byte> piece = src.first(std::min(src.size(), static_cast<std::size_t>(kMaxPieceBytes)));
    send_piece(target, piece, stream);
    target += piece.size();
    src = src.subspan(piece.size());
  }
}

void StagedUpload::send_piece(std::byte* dst, std::span<const std::byte> src, cudaStream_t stream) {
  const std::int64_t begin = make_room(std::ssize(src));
  std::byte* staged = static_cast<std::byte*>(host_ring_.get()) + begin;
  std::byte* landed = device_ring_.data() + begin;
  std::memcpy(staged, src.data(), src.size());
  on_their_way_.push_back({begin, begin + std::ssize(src), std::move(spare_events_.back())});
  spare_events_.pop_back();
  next_ = round_up(on_their_way_.back().end, DeviceResource::kAlignment);
  const auto& [arrived, in_place] = on_their_way_.back().events;
  check(cudaMemcpyAsync(landed, staged, src.size(), cudaMemcpyHostToDevice, copies_.get()), "cudaMemcpyAsync");
  check(cudaEventRecord(arrived.get(), copies_.get()), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream, arrived.get(), 0), "cudaStreamWaitEvent");
  check(cudaMemcpyAsync(dst, landed, src.size(), cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
  check(cudaEventRecord(in_place.get(), stream), "cudaEventRecord");
}

std::int64_t StagedUpload::make_room(std::int64_t size_bytes) {
  const std::int64_t begin = next_ + size_bytes <= kRingBytes ? next_ : 0;
  const auto is_taken = [&] {
    return std::ranges::any_of(on_their_way_,
                               [&](const Piece& piece) { return piece.begin < begin + size_bytes && begin < piece.end; });
  };
  while (spare_events_.empty() || is_taken()) {
    Piece& oldest = on_their_way_.front();
    check(cudaEventSynchronize(oldest.events.in_place.get()), "cudaEventSynchronize");
    spare_events_.push_back(std::move(oldest.events));
    on_their_way_.pop_front();
  }
  return begin;
}

}  // namespace virgil::cuda
