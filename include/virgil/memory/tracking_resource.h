// Counts what passes through: bytes now and at the peak, by category, and who holds them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "virgil/memory/memory_resource.h"

namespace virgil {

/// Decorates another resource, which must outlive it. Not thread-safe: the engine allocates from one thread.
class TrackingResource final : public MemoryResource {
 public:
  explicit TrackingResource(MemoryResource& upstream) : upstream_(upstream) {}

  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag& tag) override;
  void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept override;
  [[nodiscard]] std::int64_t alignment_bytes() const override { return upstream_.alignment_bytes(); }

  [[nodiscard]] const BytesByCategory& current() const { return current_; }
  /// The most each category ever held; they need not have been reached at the same time.
  [[nodiscard]] const BytesByCategory& peak() const { return peak_; }
  /// Largest total ever held at once.
  [[nodiscard]] std::int64_t peak_bytes() const { return peak_bytes_; }
  [[nodiscard]] std::int64_t num_allocations() const { return num_allocations_; }
  /// One line per live allocation, largest first: "activations  arena  123.4 MiB".
  [[nodiscard]] std::string describe() const;

 private:
  struct Holder {
    AllocationTag tag;
    std::int64_t size_bytes;
  };
  MemoryResource& upstream_;
  std::map<void*, Holder> live_;
  BytesByCategory current_;
  BytesByCategory peak_;
  std::int64_t peak_bytes_ = 0;
  std::int64_t num_allocations_ = 0;
};

}  // namespace virgil
