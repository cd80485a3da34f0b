// A block's shared memory: the dynamic part, and static objects between red zones.
#pragma once

#include <cstddef>
#include <vector>

namespace virgil::simt {

class SharedMemory {
 public:
  static constexpr std::size_t kMaxDynamicBytes = 227 * 1024;
  static constexpr std::size_t kMaxStaticBytes = 48 * 1024;

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// A new block: the dynamic part has this size, and all is NaN again.
  void begin_block(std::size_t dynamic_bytes);
  [[nodiscard]] void* dynamic() const { return memory_; }
  /// Null when 48 KiB are exceeded.
  [[nodiscard]] void* object(const void* key, std::size_t size_bytes, std::size_t alignment);
  [[nodiscard]] bool contains(const void* data, std::size_t size_bytes) const;

  /// The range that all of it lies in.
  [[nodiscard]] std::byte* begin() const { return memory_; }
  [[nodiscard]] std::size_t size_bytes() const;

 private:
  struct Object {
    const void* key = nullptr;
    std::byte* data = nullptr;
    std::size_t size_bytes = 0;
  };
  std::byte* memory_ = nullptr;
  std::size_t dynamic_bytes_ = 0;
  std::size_t static_used_ = 0;
  std::vector<Object> objects_;
};

}  // namespace virgil::simt
