#include "virgil/dist/process_group.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "virgil/dist/communicator.h"

namespace virgil {
namespace {

class SingleGroup : public testing::Test {
 protected:
  std::unique_ptr<ProcessGroup> group_ = make_single_process_group();
};

TEST_F(SingleGroup, IsItsOwnRoot) {
  EXPECT_EQ(group_->rank(), 0);
  EXPECT_EQ(group_->size(), 1);
  EXPECT_TRUE(group_->is_root());
  EXPECT_EQ(group_->local_rank(), 0);
  EXPECT_EQ(group_->local_size(), 1);
  EXPECT_EQ(group_->name_of(0), fmt::format("rank 0 (process {})", getpid()));
}

TEST_F(SingleGroup, HearsItself) {
  const int mine = 7;
  int all = 0;
  group_->all_gather(std::as_writable_bytes(std::span(&all, 1)), std::as_bytes(std::span(&mine, 1)));
  EXPECT_EQ(all, 7);
  all = 0;
  group_->gather(std::as_writable_bytes(std::span(&all, 1)), std::as_bytes(std::span(&mine, 1)), 0);
  EXPECT_EQ(all, 7);
  group_->broadcast(std::as_writable_bytes(std::span(&all, 1)), 0);
  EXPECT_EQ(all, 7);
  group_->barrier();
  EXPECT_THAT(group_->all_gather_texts("alone"), testing::ElementsAre("alone"));
  EXPECT_THAT(group_->all_gather_texts(""), testing::ElementsAre(""));
}

TEST_F(SingleGroup, HasACommunicatorThatLeavesTensorsAlone) {
  const std::unique_ptr<Communicator> communicator = group_->make_host_communicator();
  EXPECT_EQ(communicator->kind(), CommunicatorKind::kSingle);
  EXPECT_EQ(communicator->size(), 1);
  std::vector<float> values{1.00001F, 2.0F};
  const std::vector<float> before = values;
  const TensorView view(values.data(), DType::kFloat32, {2});
  communicator->wait(communicator->start_all_reduce(view, DType::kBFloat16));
  communicator->wait(communicator->start_broadcast(view, 0));
  communicator->wait_all();
  EXPECT_EQ(values, before);
}

TEST_F(SingleGroup, AbortsWithTheStatus) { EXPECT_EXIT(group_->abort(3), testing::ExitedWithCode(3), ""); }

TEST(Staging, IsNoneWhereNothingIsPacked) {
  for (const DType wire : {DType::kFloat32, DType::kBFloat16}) {
    EXPECT_EQ(communicator_staging_bytes(CommunicatorKind::kSingle, 1, wire), 0);
    EXPECT_EQ(communicator_staging_bytes(CommunicatorKind::kMpi, 1, wire), 0);
  }
  EXPECT_EQ(communicator_staging_bytes(CommunicatorKind::kNccl, 8, DType::kFloat32), 0);
}

TEST(Staging, HoldsAPieceOfEveryRank) {
  for (const int size : {2, 3, 8, 256, 1000}) {
    const std::int64_t bytes = communicator_staging_bytes(CommunicatorKind::kMpi, size, DType::kFloat32);
    EXPECT_EQ(bytes, size * communicator_piece_elements(size) * 4) << size;
    EXPECT_EQ(communicator_staging_bytes(CommunicatorKind::kMpi, size, DType::kBFloat16), bytes) << size;
    EXPECT_EQ(communicator_staging_bytes(CommunicatorKind::kNccl, size, DType::kBFloat16), bytes) << size;
    EXPECT_GE(communicator_piece_elements(size), 16 << 10) << size;
  }
  EXPECT_LE(communicator_staging_bytes(CommunicatorKind::kMpi, 8, DType::kFloat32), 16 << 20);
}

}  // namespace
}  // namespace virgil
