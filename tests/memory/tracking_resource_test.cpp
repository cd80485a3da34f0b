#include "virgil/memory/tracking_resource.h"

#include <gtest/gtest.h>

#include <utility>

#include "support/recording_resource.h"
#include "virgil/memory/buffer.h"

namespace virgil {
namespace {

using test_support::RecordingResource;

class Tracking : public testing::Test {
 protected:
  Buffer make(std::int64_t size_bytes, MemoryCategory category, std::string name) {
    return {tracker_, size_bytes, {category, std::move(name)}};
  }
  RecordingResource upstream_;
  TrackingResource tracker_{upstream_};
};

TEST_F(Tracking, CountsByCategory) {
  const Buffer weights = make(1000, MemoryCategory::kWeights, "parameters");
  const Buffer m = make(300, MemoryCategory::kOptimizer, "adamw.m");
  const Buffer v = make(300, MemoryCategory::kOptimizer, "adamw.v");
  EXPECT_EQ(tracker_.current()[MemoryCategory::kWeights], 1000);
  EXPECT_EQ(tracker_.current()[MemoryCategory::kOptimizer], 600);
  EXPECT_EQ(tracker_.current()[MemoryCategory::kGradients], 0);
  EXPECT_EQ(tracker_.current().total(), 1600);
  EXPECT_EQ(tracker_.num_allocations(), 3);
}

TEST_F(Tracking, RemembersThePeakWhenMemoryIsGivenBack) {
  {
    const Buffer large = make(5000, MemoryCategory::kActivations, "arena");
    EXPECT_EQ(tracker_.peak_bytes(), 5000);
  }
  EXPECT_EQ(tracker_.current(), BytesByCategory{});
  const Buffer small = make(10, MemoryCategory::kData, "inputs");
  EXPECT_EQ(tracker_.current().total(), 10);
  EXPECT_EQ(tracker_.peak_bytes(), 5000);
}

TEST_F(Tracking, PeakIsOfTheTotalAndNotOfCategoriesApart) {
  { const Buffer a = make(100, MemoryCategory::kData, "a"); }
  const Buffer b = make(80, MemoryCategory::kWeights, "b");
  EXPECT_EQ(tracker_.peak_bytes(), 100);
}

TEST_F(Tracking, DescribesHoldersLargestFirst) {
  const Buffer small = make(1 << 20, MemoryCategory::kWeights, "parameters");
  const Buffer large = make(5 << 20, MemoryCategory::kActivations, "activation arena");
  { const Buffer gone = make(3 << 20, MemoryCategory::kData, "gone"); }
  const std::string text = tracker_.describe();
  const auto first = text.find("activation arena");
  const auto second = text.find("parameters");
  ASSERT_NE(first, std::string::npos) << text;
  ASSERT_NE(second, std::string::npos) << text;
  EXPECT_LT(first, second);
  EXPECT_NE(text.find("5.0 MiB"), std::string::npos) << text;
  EXPECT_EQ(text.find("gone"), std::string::npos) << text;
}

TEST_F(Tracking, RefusalListsTheHolders) {
  const Buffer held = make(2 << 20, MemoryCategory::kOptimizer, "adamw.m");
  upstream_.limit_bytes = 100;
  try {
    (void)make(1 << 20, MemoryCategory::kActivations, "activation arena");
    FAIL() << "the limit was ignored";
  } catch (const OutOfMemoryError& error) {
    const std::string message = error.what();
    for (const char* part : {"1048576 bytes refused for activation arena", "2097152 bytes in all", "adamw.m", "2.0 MiB"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
  EXPECT_EQ(tracker_.current().total(), 2 << 20);
  EXPECT_EQ(tracker_.num_allocations(), 1);
}

TEST_F(Tracking, KeepsTheAlignmentOfItsUpstream) { EXPECT_EQ(tracker_.alignment_bytes(), upstream_.alignment_bytes()); }

}  // namespace
}  // namespace virgil
