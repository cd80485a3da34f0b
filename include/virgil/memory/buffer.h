// Move-only owner of one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "virgil/memory/memory_resource.h"

namespace virgil {

/// Owns `size_bytes` bytes from a resource that outlives it. Empty when default-constructed or moved from.
class Buffer {
 public:
  Buffer() = default;
  /// A size of 0 gives an empty buffer and asks the resource for nothing.
  Buffer(MemoryResource& resource, std::int64_t size_bytes, AllocationTag tag)
      : resource_(&resource), size_bytes_(size_bytes), tag_(std::move(tag)) {
    if (size_bytes_ > 0) data_ = resource.allocate(size_bytes_, tag_);
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) resource_->deallocate(data_, size_bytes_, tag_);
  }

  [[nodiscard]] std::byte* data() const { return static_cast<std::byte*>(data_); }
  [[nodiscard]] std::int64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] bool empty() const { return size_bytes_ == 0; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(resource_, other.resource_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(tag_, other.tag_);
  }

  MemoryResource* resource_ = nullptr;
  void* data_ = nullptr;
  std::int64_t size_bytes_ = 0;
  AllocationTag tag_;
};

}  // namespace virgil
