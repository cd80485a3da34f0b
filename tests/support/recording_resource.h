// A MemoryResource for tests: serves host memory, records every call and fails on demand.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>

#include "virgil/base/error.h"
#include "virgil/memory/memory_resource.h"

namespace virgil::test_support {

class RecordingResource final : public MemoryResource {
 public:
  ~RecordingResource() override { EXPECT_TRUE(live_.empty()) << live_.size() << " allocations were never given back"; }

  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag& tag) override {
    if (size_bytes > limit_bytes) throw OutOfMemoryError(fmt::format("{} bytes refused for {}", size_bytes, tag.name));
    void* data = upstream_.allocate(size_bytes, tag);
    live_[data] = {size_bytes, tag.category, tag.name};
    ++num_allocations;
    return data;
  }
  void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept override {
    const auto found = live_.find(data);
    if (found == live_.end()) {
      ADD_FAILURE() << "memory given back twice, or never handed out";
      return;
    }
    EXPECT_EQ(found->second, (Holder{size_bytes, tag.category, tag.name}));
    live_.erase(found);
    upstream_.deallocate(data, size_bytes, tag);
  }
  [[nodiscard]] std::int64_t alignment_bytes() const override { return upstream_.alignment_bytes(); }

  [[nodiscard]] std::size_t num_live() const { return live_.size(); }

  std::int64_t limit_bytes = std::int64_t{1} << 40;
  int num_allocations = 0;

 private:
  struct Holder {
    std::int64_t size_bytes;
    MemoryCategory category;
    std::string name;
    friend bool operator==(const Holder&, const Holder&) = default;
  };
  HostMemoryResource upstream_;
  std::map<void*, Holder> live_;
};

}  // namespace virgil::test_support
