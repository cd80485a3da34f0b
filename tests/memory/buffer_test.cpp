#include "virgil/memory/buffer.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "support/recording_resource.h"

namespace virgil {
namespace {

using test_support::RecordingResource;

const AllocationTag kTag{MemoryCategory::kData, "inputs"};

TEST(Buffer, IsMoveOnly) {
  EXPECT_FALSE(std::is_copy_constructible_v<Buffer>);
  EXPECT_FALSE(std::is_copy_assignable_v<Buffer>);
  EXPECT_TRUE(std::is_nothrow_move_constructible_v<Buffer>);
  EXPECT_TRUE(std::is_nothrow_move_assignable_v<Buffer>);
}

TEST(Buffer, GivesBackWhatItTook) {
  RecordingResource resource;
  {
    const Buffer buffer(resource, 100, kTag);
    EXPECT_NE(buffer.data(), nullptr);
    EXPECT_EQ(buffer.size_bytes(), 100);
    EXPECT_FALSE(buffer.empty());
    EXPECT_EQ(resource.num_live(), 1U);
  }
  EXPECT_EQ(resource.num_live(), 0U);
}

TEST(Buffer, OfSizeZeroAsksForNothing) {
  RecordingResource resource;
  const Buffer buffer(resource, 0, kTag);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(resource.num_allocations, 0);
}

TEST(Buffer, MovesItsMemory) {
  RecordingResource resource;
  Buffer first(resource, 100, kTag);
  const std::byte* data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.size_bytes(), 100);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): the promise under test
  EXPECT_EQ(first.data(), nullptr);
  EXPECT_EQ(resource.num_live(), 1U);
}

TEST(Buffer, AssignmentFreesWhatItHeld) {
  RecordingResource resource;
  Buffer kept(resource, 100, kTag);
  Buffer other(resource, 200, {MemoryCategory::kLogits, "losses"});
  const std::byte* data = other.data();
  kept = std::move(other);
  EXPECT_EQ(resource.num_live(), 1U);
  EXPECT_EQ(kept.data(), data);
  EXPECT_EQ(kept.size_bytes(), 200);
  kept = Buffer{};
  EXPECT_EQ(resource.num_live(), 0U);
}

TEST(Buffer, SurvivesAssignmentToItself) {
  RecordingResource resource;
  Buffer buffer(resource, 100, kTag);
  const std::byte* data = buffer.data();
  Buffer& alias = buffer;
  buffer = std::move(alias);
  EXPECT_EQ(buffer.data(), data);
  EXPECT_EQ(resource.num_live(), 1U);
}

TEST(Buffer, HoldsNothingWhenRefused) {
  RecordingResource resource;
  resource.limit_bytes = 10;
  EXPECT_THROW(Buffer(resource, 100, kTag), OutOfMemoryError);
  EXPECT_EQ(resource.num_live(), 0U);
}

}  // namespace
}  // namespace virgil
