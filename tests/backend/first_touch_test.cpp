#include "backend/cpu/first_touch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

namespace virgil::cpu {
namespace {

TEST(FirstTouchResource, TakesEveryPageOfALargeBlock) {
  constexpr std::int64_t kSizeBytes = (std::int64_t{7} << 20) + 12345;
  constexpr std::size_t kPageBytes = 4096;
  FirstTouchResource memory(3);
  const AllocationTag tag{MemoryCategory::kActivations, "arena"};
  void* data = memory.allocate(kSizeBytes, tag);
  std::vector<unsigned char> resident((kSizeBytes + kPageBytes - 1) / kPageBytes);
  ASSERT_EQ(mincore(data, kSizeBytes, resident.data()), 0);
  EXPECT_TRUE(std::ranges::all_of(resident, [](unsigned char page) { return (page & 1U) != 0; }));
  memory.deallocate(data, kSizeBytes, tag);
}

TEST(FirstTouchResource, AlignsAsHostMemoryDoes) {
  FirstTouchResource memory(2);
  EXPECT_EQ(memory.alignment_bytes(), HostMemoryResource::kAlignment);
  const AllocationTag tag{MemoryCategory::kData, "tokens"};
  void* data = memory.allocate(100, tag);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % HostMemoryResource::kAlignment, 0U);
  memory.deallocate(data, 100, tag);
}

}  // namespace
}  // namespace virgil::cpu
