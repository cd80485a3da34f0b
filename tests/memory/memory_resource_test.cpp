#include "virgil/memory/memory_resource.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {
namespace {

TEST(MemoryCategory, NamesAreThoseOfTheMetrics) {
  std::vector<std::string_view> names;
  for (const MemoryCategory category : kAllMemoryCategories) names.push_back(name_of(category));
  EXPECT_THAT(names, testing::ElementsAre("weights", "master_weights", "gradients", "optimizer", "activations", "logits",
                                          "workspace", "data"));
}

TEST(BytesByCategory, TotalsItsCategories) {
  BytesByCategory bytes;
  EXPECT_EQ(bytes.total(), 0);
  bytes[MemoryCategory::kWeights] = 5;
  bytes[MemoryCategory::kData] = 7;
  EXPECT_EQ(bytes.total(), 12);
  EXPECT_EQ(bytes[MemoryCategory::kGradients], 0);
}

class HostMemory : public testing::TestWithParam<std::int64_t> {};

TEST_P(HostMemory, IsAlignedAndWritable) {
  HostMemoryResource host;
  const AllocationTag tag{MemoryCategory::kActivations, "arena"};
  void* data = host.allocate(GetParam(), tag);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(host.alignment_bytes()), 0U);
  std::memset(data, 0x5A, static_cast<std::size_t>(GetParam()));
  EXPECT_EQ(static_cast<unsigned char*>(data)[GetParam() - 1], 0x5A);
  host.deallocate(data, GetParam(), tag);
}

// Both sides of the 2 MiB from which blocks are mapped, and sizes that are no multiple of the alignment.
INSTANTIATE_TEST_SUITE_P(Sizes, HostMemory,
                         testing::Values(1, 63, 64, 65, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (8 << 20) + 13));

TEST(HostMemory, RefusesNothingness) {
  HostMemoryResource host;
  EXPECT_THROW((void)host.allocate(0, {}), InternalError);
}

TEST(HostMemory, RefusalNamesTheHolderAndTheSize) {
  HostMemoryResource host;
  constexpr std::int64_t kTooMuch = std::int64_t{1} << 60;
  try {
    (void)host.allocate(kTooMuch, {MemoryCategory::kOptimizer, "adamw.m"});
    FAIL() << "2^60 bytes were allocated";
  } catch (const OutOfMemoryError& error) {
    const std::string message = error.what();
    for (const char* part : {"1152921504606846976", "adamw.m", "optimizer", "batch_size"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace virgil
