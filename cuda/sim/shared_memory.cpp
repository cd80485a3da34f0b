#include "cuda/sim/shared_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "cuda/sim/sanitizer.h"

namespace virgil::simt {

namespace {

constexpr std::size_t kRedZone = 64;
constexpr std::size_t kStaticOffset = SharedMemory::kMaxDynamicBytes + 1024;
constexpr std::size_t kStaticRoom = SharedMemory::kMaxStaticBytes + 64 * (kRedZone + 1024);  // of up to 64 objects
constexpr std::size_t kTotalBytes = kStaticOffset + kStaticRoom;
constexpr int kNanByte = 0xFF;

}  // namespace

SharedMemory::SharedMemory() {
  void* memory = mmap(nullptr, kTotalBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  poison(memory_, kTotalBytes);
}

SharedMemory::~SharedMemory() {
  unpoison(memory_, kTotalBytes);
  munmap(memory_, kTotalBytes);
}

std::size_t SharedMemory::size_bytes() const { return kTotalBytes; }

void SharedMemory::begin_block(std::size_t dynamic_bytes) {
  for (const Object& object : objects_) poison(object.data, object.size_bytes);
  objects_.clear();
  static_used_ = 0;
  if (dynamic_bytes != dynamic_bytes_) {
    poison(memory_, kMaxDynamicBytes);
    unpoison(memory_, dynamic_bytes);
    dynamic_bytes_ = dynamic_bytes;
  }
  if (dynamic_bytes > 0) std::memset(memory_, kNanByte, dynamic_bytes);
}

void* SharedMemory::object(const void* key, std::size_t size_bytes, std::size_t alignment) {
  for (const Object& object : objects_) {
    if (object.key == key) return object.data;
  }
  std::size_t used = 0;
  for (const Object& object : objects_) used += object.size_bytes;
  static_used_ = (static_used_ + kRedZone + alignment - 1) / alignment * alignment;
  if (used + size_bytes > kMaxStaticBytes || static_used_ + size_bytes > kStaticRoom) return nullptr;
  std::byte* data = memory_ + kStaticOffset + static_used_;
  static_used_ += size_bytes;
  unpoison(data, size_bytes);
  std::memset(data, kNanByte, size_bytes);
  objects_.push_back({key, data, size_bytes});
  return data;
}

bool SharedMemory::contains(const void* data, std::size_t size_bytes) const {
  const auto* begin = static_cast<const std::byte*>(data);
  const auto inside = [&](const std::byte* first, std::size_t count) {
    return begin >= first && begin + size_bytes <= first + count;
  };
  if (inside(memory_, dynamic_bytes_)) return true;
  for (const Object& object : objects_) {
    if (inside(object.data, object.size_bytes)) return true;
  }
  return false;
}

}  // namespace virgil::simt
