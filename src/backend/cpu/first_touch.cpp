#include "backend/cpu/first_touch.h"

#include <cstddef>
#include <cstdint>

#include "backend/cpu/parallel.h"

namespace virgil::cpu {

namespace {

constexpr std::int64_t kPageBytes = 4096;
/// Two threads never share a huge page.
constexpr std::int64_t kGrainBytes = std::int64_t{2} << 20;

}  // namespace

void* FirstTouchResource::allocate(std::int64_t size_bytes, const AllocationTag& tag) {
  void* data = host_.allocate(size_bytes, tag);
  if (size_bytes < kGrainBytes) return data;  // of the heap, where it lies already
  auto* bytes = static_cast<volatile std::byte*>(data);
  parallel_ranges(size_bytes, kGrainBytes, num_threads_, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; at += kPageBytes) bytes[at] = std::byte{};
  });
  return data;
}

}  // namespace virgil::cpu
