// Hands out addresses and no memory, so that plans far above this machine's size can be "allocated".
#pragma once

#include <cstdint>

#include "virgil/memory/memory_resource.h"

namespace virgil::test_support {

/// Nothing may be read or written through what it returns.
class AddressResource final : public MemoryResource {
 public:
  static constexpr std::int64_t kAlignment = 64;
  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag&) override {
    void* address = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr): never dereferenced
    next_ += static_cast<std::uintptr_t>(size_bytes);
    return address;
  }
  void deallocate(void*, std::int64_t, const AllocationTag&) noexcept override {}
  [[nodiscard]] std::int64_t alignment_bytes() const override { return kAlignment; }

 private:
  std::uintptr_t next_ = 1 << 20;
};

}  // namespace virgil::test_support
