// What only the race build finds of collectives: a tensor that is used while it is under way.
#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda_sim/device_ranks.h"

namespace virgil {
namespace {

using test_support::DeviceRank;
using test_support::DeviceTensor;
using test_support::messages_of;
using test_support::values_of;
using testing::AllOf;
using testing::HasSubstr;

class NcclRaces : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, NcclRaces, testing::Range<std::uint64_t>(0, 6));

/// What the race detector says of ranks that do `meanwhile` with a tensor that is under way.
std::string race_of(std::uint64_t seed, const std::function<void(DeviceRank&, TensorView)>& meanwhile) {
  const std::vector<std::string> messages = messages_of(2, [&](ProcessGroup& group) {
    DeviceRank rank(group, seed);
    rank.connect();
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 64));
    rank.group().set_timeout(std::chrono::seconds(5));
    const CollectiveTicket ticket = rank.communicator().start_all_gather(tensor.view());
    meanwhile(rank, tensor.view());
    rank.communicator().wait(ticket);
    rank.backend().synchronize();
  });
  return messages[0] + messages[1];
}

TEST_P(NcclRaces, AReadBeforeTheWaitIsARace) {
  const std::string race = race_of(GetParam(), [](DeviceRank& rank, TensorView tensor) {
    const DeviceTensor copied(rank.backend(), DType::kFloat32, 64);
    rank.backend().run(ops::Copy{copied.view(), tensor});
    rank.backend().synchronize();
  });
  EXPECT_THAT(race, AllOf(HasSubstr("race on device memory"), HasSubstr("ncclAllGather"), HasSubstr("cudaMemcpyAsync"),
                          HasSubstr("no event")));
}

TEST_P(NcclRaces, AWriteBeforeTheWaitIsARace) {
  const std::string race =
      race_of(GetParam(), [](DeviceRank& rank, TensorView tensor) { rank.backend().run(ops::SetZero{tensor}); });
  EXPECT_THAT(race, AllOf(HasSubstr("race on device memory"), HasSubstr("ncclAllGather"), HasSubstr("cudaMemsetAsync")));
}

}  // namespace
}  // namespace virgil
