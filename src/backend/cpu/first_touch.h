// Host memory whose pages lie beside the threads that will work on them.
#pragma once

#include <cstdint>

#include "virgil/memory/memory_resource.h"

namespace virgil::cpu {

/// On a machine with several sockets the system places a page at the core that first writes to it. Each thread writes to its
/// share of a new block, the same share that elementwise ops, optimizer and copies give it (parallel_ranges), instead of all
/// pages going where the first op to come by happens to run. They would be taken during the first step anyway.
class FirstTouchResource final : public MemoryResource {
 public:
  explicit FirstTouchResource(int num_threads) : num_threads_(num_threads) {}
  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag& tag) override;
  void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept override {
    host_.deallocate(data, size_bytes, tag);
  }
  [[nodiscard]] std::int64_t alignment_bytes() const override { return host_.alignment_bytes(); }

 private:
  HostMemoryResource host_;
  int num_threads_;
};

}  // namespace virgil::cpu
