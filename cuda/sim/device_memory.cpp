#include "cuda/sim/device_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <iterator>
#include <new>

#include "cuda/sim/race_detector.h"
#include "cuda/sim/sanitizer.h"

namespace virgil::simt {

namespace {

constexpr std::size_t kReservedBytes = std::size_t{4} << 30;
constexpr std::size_t kAlignment = 256;
constexpr int kNanByte = 0xFF;

}  // namespace

DeviceMemory::DeviceMemory(RaceDetector& race_detector) {
  void* memory = mmap(nullptr, kReservedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  top_ = kAlignment;
  poison(memory_, kAlignment);
  if (RaceDetector::enabled()) race_detector.watch(memory_, kReservedBytes, false);
}

DeviceMemory::~DeviceMemory() {
  unpoison(memory_, top_);
  munmap(memory_, kReservedBytes);
}

void* DeviceMemory::allocate(std::size_t size_bytes, std::size_t capacity_bytes) {
  if (size_bytes > capacity_bytes || used_bytes_ > capacity_bytes - size_bytes) return nullptr;
  const std::size_t with_red_zone = (size_bytes + kAlignment + kAlignment - 1) / kAlignment * kAlignment;
  if (with_red_zone > kReservedBytes - top_) return nullptr;
  std::byte* data = memory_ + top_;
  top_ += with_red_zone;
  unpoison(data, size_bytes);
  std::memset(data, kNanByte, size_bytes);
  poison(data + size_bytes, with_red_zone - size_bytes);
  live_.emplace(data, size_bytes);
  used_bytes_ += size_bytes;
  return data;
}

bool DeviceMemory::free(void* data) {
  const auto found = live_.find(static_cast<std::byte*>(data));
  if (found == live_.end()) return false;
  poison(found->first, found->second);
  used_bytes_ -= found->second;
  live_.erase(found);
  if (live_.empty()) {
    // Its pages go back to the system too.
    madvise(memory_, top_, MADV_DONTNEED);
    top_ = kAlignment;
  }
  return true;
}

bool DeviceMemory::contains(const void* data, std::size_t size_bytes) const {
  const auto* begin = static_cast<const std::byte*>(data);
  auto after = live_.upper_bound(const_cast<std::byte*>(begin));
  if (after == live_.begin()) return false;
  const auto& [start, count] = *std::prev(after);
  return begin + size_bytes <= start + count;
}

}  // namespace virgil::simt
