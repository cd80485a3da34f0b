// NCCL's communicator between played devices: its results, its streams, and what happens when ranks go wrong.
#include "virgil/dist/nccl_communicator.h"

#include <gmock/gmock.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <latch>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/sim/simt.h"
#include "cuda_sim/device_ranks.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::DeviceRank;
using test_support::DeviceTensor;
using test_support::messages_of;
using test_support::run_device_ranks;
using test_support::value_of;
using test_support::values_of;
using testing::AllOf;
using testing::AnyOf;
using testing::Each;
using testing::HasSubstr;
using testing::StartsWith;
using namespace std::chrono_literals;

constexpr auto kSoon = 100ms;  // a time limit for ranks that wait in vain

float sum_in_rank_order(int num_ranks, std::size_t i, DType wire) {
  const auto summand = [&](int rank) {
    const float value = value_of(rank, i);
    return wire == DType::kBFloat16 ? static_cast<float>(BFloat16(value)) : value;
  };
  float sum = summand(0);
  for (int r = 1; r < num_ranks; ++r) sum += summand(r);
  return sum;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// --- Results -----------------------------------------------------------------------------------------------------------------

/// Ranks and seed.
class NcclRanks : public testing::TestWithParam<std::tuple<int, std::uint64_t>> {
 protected:
  [[nodiscard]] static int num_ranks() { return std::get<0>(GetParam()); }
  static void run(const std::function<void(DeviceRank&)>& body) {
    run_device_ranks(num_ranks(), std::get<1>(GetParam()), body);
  }
};
INSTANTIATE_TEST_SUITE_P(Seeds, NcclRanks, testing::Combine(testing::Values(1, 2, 4), testing::Range<std::uint64_t>(0, 5)));

TEST_P(NcclRanks, SumBFloat16InOrderOfRankLikeTheHost) {
  run([](DeviceRank& rank) {
    for (const std::int64_t part : {std::int64_t{1}, std::int64_t{64}, std::int64_t{1001}}) {
      const std::int64_t count = part * rank.size();
      std::vector<float> host = values_of(rank.number(), count);
      const DeviceTensor device = rank.tensor(host);
      Communicator& communicator = rank.communicator();
      communicator.wait(communicator.start_reduce_scatter(device.view(), DType::kBFloat16));
      std::vector<float> sums = device.floats();

      const std::unique_ptr<Communicator> over_host = rank.group().make_host_communicator();
      std::vector<std::byte> staging(
          static_cast<std::size_t>(communicator_staging_bytes(over_host->kind(), rank.size(), DType::kBFloat16)));
      over_host->bind_staging(staging);
      over_host->wait(over_host->start_reduce_scatter({host.data(), DType::kFloat32, {count}}, DType::kBFloat16));

      const auto own = [&](const std::vector<float>& all) {
        return std::vector<float>(all.begin() + rank.number() * part, all.begin() + (rank.number() + 1) * part);
      };
      EXPECT_TRUE(same_bits(own(sums), own(host))) << part;
      const auto first = static_cast<std::size_t>(rank.number() * part);
      if (rank.size() > 1) {
        EXPECT_EQ(sums[first], sum_in_rank_order(rank.size(), first, DType::kBFloat16));
      }
    }
  });
}

TEST_P(NcclRanks, SumFloat32WhereItLies) {
  std::vector<std::vector<float>> first(static_cast<std::size_t>(num_ranks()));
  for (const bool again : {false, true}) {
    run([&](DeviceRank& rank) {
      const std::int64_t part = 777;
      const DeviceTensor tensor = rank.tensor(values_of(rank.number(), part * rank.size()));
      rank.communicator().wait(rank.communicator().start_all_reduce(tensor.view(), DType::kFloat32));
      rank.communicator().finish();
      const std::vector<float> sums = tensor.floats();
      for (std::size_t i = 0; i < sums.size(); ++i) {
        float bound = 0;  // of R - 1 additions in any order, against another one: 2 (R - 1) half ulps of the sum of magnitudes
        for (int r = 0; r < rank.size(); ++r) bound += std::abs(value_of(r, i));
        bound *= static_cast<float>(rank.size() - 1) * 0x1p-23F;
        EXPECT_NEAR(sums[i], sum_in_rank_order(rank.size(), i, DType::kFloat32), bound) << i;
      }
      std::vector<float>& before = first[static_cast<std::size_t>(rank.number())];
      if (again) {
        EXPECT_TRUE(same_bits(sums, before));
      }
      before = sums;
    });
  }
  for (const std::vector<float>& sums : first) EXPECT_TRUE(same_bits(sums, first[0])) << "all ranks have the same sums";
}

TEST_P(NcclRanks, GatherAndBroadcastAnyType) {
  run([](DeviceRank& rank) {
    Communicator& communicator = rank.communicator();
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16, DType::kInt32}) {
      for (const std::int64_t part : {0, 1, 7, 500}) {
        const DeviceTensor all(rank.backend(), dtype, part * rank.size());
        const std::vector<std::byte> mine(static_cast<std::size_t>(part * size_of(dtype)), std::byte(rank.number() + 1));
        rank.backend().copy_from_host(all.view().slice(rank.number() * part, {part}), mine);
        const DeviceTensor rooted(rank.backend(), dtype, part);
        rank.backend().copy_from_host(rooted.view(), mine);
        const int root = rank.size() - 1;
        const CollectiveTicket gathered = communicator.start_all_gather(all.view());
        communicator.start_broadcast(rooted.view(), root);
        communicator.wait_all();
        communicator.wait(gathered);
        communicator.finish();
        const std::vector<std::byte> bytes = all.bytes();
        for (std::size_t i = 0; i < bytes.size(); ++i) {
          EXPECT_EQ(static_cast<std::size_t>(bytes[i]), i / mine.size() + 1) << "byte " << i;
        }
        EXPECT_THAT(rooted.bytes(), Each(std::byte(root + 1)));
      }
    }
  });
}

TEST_P(NcclRanks, ComputeBesideTheirCollectives) {
  run([](DeviceRank& rank) {
    // As a training step: each layer's gradients travel while the next layer's are computed, and weights come back.
    Communicator& communicator = rank.communicator();
    constexpr std::int64_t kLayers = 5, kPart = 24;
    const std::int64_t count = kPart * rank.size();
    std::vector<DeviceTensor> gradients;
    for (std::int64_t l = 0; l < kLayers; ++l) gradients.emplace_back(rank.backend(), DType::kFloat32, count);
    const DeviceTensor ones = rank.tensor(std::vector<float>(static_cast<std::size_t>(count), 1.0F));
    const DeviceTensor norm(rank.backend(), DType::kFloat32, 1);
    for (int step = 0; step < 2; ++step) {
      std::vector<CollectiveTicket> tickets;
      for (const DeviceTensor& gradient : gradients) {
        rank.backend().run(ops::Copy{gradient.view(), ones.view()});
        tickets.push_back(communicator.start_reduce_scatter(gradient.view(), step == 0 ? DType::kFloat32 : DType::kBFloat16));
      }
      for (std::size_t l = 0; l < gradients.size(); ++l) {
        communicator.wait(tickets[l]);
        // A part of its own is all a rank may look at; it is written again before it goes to all.
        const TensorView part = gradients[l].view().slice(rank.number() * kPart, {kPart});
        rank.backend().run(ops::Copy{part, ones.view().slice(0, {kPart})});
        communicator.start_all_gather(gradients[l].view());
      }
      communicator.wait_all();
      communicator.finish();
      for (const DeviceTensor& gradient : gradients) EXPECT_THAT(gradient.floats(), Each(1.0F));
    }
  });
}

TEST_P(NcclRanks, MayLeaveWithoutAWait) {
  run([](DeviceRank& rank) {
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 8 * rank.size()));
    rank.communicator().finish();
    rank.communicator().start_all_gather(tensor.view());
    rank.disconnect();
  });
}

// In one of two ranks' schedules: a piece is 8 MiB, too much for the slow builds to run often.
TEST(Nccl, SumsPartsOfSeveralPieces) {
  run_device_ranks(2, simt::racing() ? 0 : 3, [](DeviceRank& rank) {
    const std::int64_t part = communicator_piece_elements(2) + 5;
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 2 * part));
    rank.communicator().wait(rank.communicator().start_reduce_scatter(tensor.view(), DType::kBFloat16));
    const std::vector<float> sums = tensor.floats();
    int wrong = 0;
    for (auto i = static_cast<std::size_t>(rank.number() * part); i < static_cast<std::size_t>((rank.number() + 1) * part);
         ++i) {
      if (sums[i] != sum_in_rank_order(2, i, DType::kBFloat16)) ++wrong;
    }
    EXPECT_EQ(wrong, 0);
  });
}

// --- Streams -----------------------------------------------------------------------------------------------------------------

class NcclSeeds : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, NcclSeeds, testing::Range<std::uint64_t>(0, 4));

TEST_P(NcclSeeds, TheBackendWorksWhileACollectiveWaitsForAnotherRank) {
  run_device_ranks(2, GetParam(), [](DeviceRank& rank) {
    const DeviceTensor travelling = rank.tensor(values_of(rank.number(), 64));
    const DeviceTensor other = rank.tensor(values_of(rank.number(), 100));
    const DeviceTensor copied(rank.backend(), DType::kFloat32, 100);
    CollectiveTicket ticket = 0;
    if (rank.number() == 0) {
      ticket = rank.communicator().start_all_gather(travelling.view());
      rank.backend().run(ops::Copy{copied.view(), other.view()});
      EXPECT_EQ(copied.floats(), other.floats()) << "read while rank 1 has not come";
    }
    rank.group().barrier();
    if (rank.number() == 1) ticket = rank.communicator().start_all_gather(travelling.view());
    rank.communicator().wait(ticket);
    const std::vector<float> gathered = travelling.floats();
    EXPECT_EQ(gathered[0], value_of(0, 0));
    EXPECT_EQ(gathered[63], value_of(1, 63));
  });
}

TEST_P(NcclSeeds, ADeviceWorksWhileItsHostWaitsForTheGroup) {
  // Rank 0 reads what rank 1 sends, and rank 1 never looks at its device before the barrier behind it.
  run_device_ranks(2, GetParam(), [](DeviceRank& rank) {
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 10));
    rank.communicator().wait(rank.communicator().start_broadcast(tensor.view(), 1));
    if (rank.number() == 0) {
      EXPECT_EQ(tensor.floats(), values_of(1, 10));
    }
    rank.group().barrier();
  });
}

// --- Ranks that go wrong
// -------------------------------------------------------------------------------------------------------

TEST_P(NcclSeeds, ALostRankIsNamedInTimeAndNoOther) {
  std::latch told(2);
  run_device_ranks(3, GetParam(), [&](DeviceRank& rank) {
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 96));
    Communicator& communicator = rank.communicator();
    if (rank.number() == 1) return told.wait();  // hangs
    rank.group().set_timeout(kSoon);
    const auto start = std::chrono::steady_clock::now();
    communicator.wait(communicator.start_reduce_scatter(tensor.view(), DType::kFloat32));
    EXPECT_THROW(
        {
          try {
            communicator.finish();
          } catch (const LostRankError& error) {
            EXPECT_THAT(error.what(), AllOf(StartsWith("rank 1 (a thread) has died or hangs: rank "),
                                            HasSubstr("NCCL (reduce-scatter 0 of 384 bytes")));
            throw;
          }
        },
        LostRankError);
    EXPECT_LT(std::chrono::steady_clock::now() - start, kSoon + 5s);
    EXPECT_THROW(communicator.start_all_gather(tensor.view()), LostRankError);
    rank.backend().synchronize();  // what waited for the collective has been let go
    told.count_down();
  });
}

TEST_P(NcclSeeds, ARankThatHasLeftIsNamed) {
  run_device_ranks(2, GetParam(), [](DeviceRank& rank) {
    if (rank.number() == 1) return;
    const DeviceTensor tensor = rank.tensor(values_of(0, 64));
    rank.group().set_timeout(kSoon);
    rank.communicator().wait(rank.communicator().start_reduce_scatter(tensor.view(), DType::kFloat32));
    try {
      rank.communicator().finish();
      ADD_FAILURE() << "rank 1 did not come";
    } catch (const LostRankError& error) {
      EXPECT_THAT(error.what(), StartsWith("rank 1 (a thread) has died or hangs: rank 0 (a thread) waited 100 ms in NCCL"));
    }
  });
}

TEST_P(NcclSeeds, ARankThatDoesNotConnectIsNamedInTime) {
  const std::vector<std::string> messages = messages_of(2, [](ProcessGroup& group) {
    DeviceRank rank(group, GetParam());
    rank.group().after_broadcast([&] {  // of NCCL's id
      if (rank.number() == 1) throw user_error("the disk is full");
      rank.group().set_timeout(kSoon);
    });
    rank.connect();
  });
  EXPECT_THAT(messages[0], AllOf(HasSubstr("rank 1 (a thread) has died or hangs"), HasSubstr("connecting")));
  EXPECT_EQ(messages[1], "the disk is full");
}

TEST_P(NcclSeeds, AnExceptionGivesUpWhatIsUnderWay) {
  const std::vector<std::string> messages = messages_of(2, [](ProcessGroup& group) {
    DeviceRank rank(group, GetParam());
    rank.connect();
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 64));
    for (int i = 0; i < 3; ++i) {
      if (i == 2 && rank.number() == 1) throw user_error("the disk is full");
      if (i == 2) rank.group().set_timeout(kSoon);
      rank.communicator().start_all_reduce(tensor.view(), DType::kBFloat16);
    }
    rank.communicator().wait_all();
    rank.communicator().finish();
  });
  EXPECT_THAT(messages[0], HasSubstr("rank 1 (a thread)"));
  EXPECT_EQ(messages[1], "the disk is full");
}

TEST_P(NcclSeeds, RanksThatDifferAreBothNamed) {
  const std::vector<std::string> messages = messages_of(2, [](ProcessGroup& group) {
    DeviceRank rank(group, GetParam());
    rank.connect();
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), rank.number() == 0 ? 8 : 16));
    rank.communicator().wait(rank.communicator().start_all_gather(tensor.view()));
    rank.communicator().finish();
    rank.backend().synchronize();
  });
  for (const std::string& message : messages) {
    EXPECT_THAT(message,
                AnyOf(HasSubstr("rank 1 calls ncclAllGather of 32 int8, where rank 0 calls ncclAllGather of 16 int8"),
                      HasSubstr("rank 0 calls ncclAllGather of 16 int8, where rank 1 calls ncclAllGather of 32 int8")));
  }
}

TEST(Nccl, ItsOwnErrorsEndTheWait) {
  const auto message_with = [](int planted) {
    return messages_of(2, [planted](ProcessGroup& group) {
      DeviceRank rank(group, 0);
      rank.connect();
      const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 64));
      if (rank.number() == 1) return;
      rank.communicator().wait(rank.communicator().start_all_gather(tensor.view()));
      simt::plant_nccl_error(planted);
      rank.communicator().finish();
    })[0];
  };
  EXPECT_THAT(message_with(ncclRemoteError),
              AllOf(HasSubstr("rank 0 has lost rank 1 (a thread) in all-gather 0"), HasSubstr("network error")));
  EXPECT_THAT(message_with(ncclUnhandledCudaError),
              AllOf(HasSubstr("all-gather 0 of 256 bytes failed"), HasSubstr("cuda error")));
}

TEST(Nccl, RefusesRanksOnOneDevice) {
  const std::vector<std::string> messages = messages_of(3, [](ProcessGroup& group) {
    DeviceRank rank(group, 0, {.serial = group.rank() == 0 ? 1 : 2});
    rank.connect();
  });
  EXPECT_THAT(messages,
              Each(AllOf(HasSubstr("rank 1 (a thread) and rank 2 (a thread) share one GPU"), HasSubstr("3 processes see 1"))));
}

TEST(Nccl, RefusesDevicesOfDifferentKinds) {
  const std::vector<std::string> messages = messages_of(2, [](ProcessGroup& group) {
    DeviceRank rank(group, 0, {.compute_capability = group.rank() == 0 ? 90 : 80});
    rank.connect();
  });
  EXPECT_THAT(messages, Each(AllOf(HasSubstr("sm_90"), HasSubstr("sm_80"), HasSubstr("same kind of GPU"))));
}

TEST(Nccl, RefusesABFloat16SumWithoutStaging) {
  const std::vector<std::string> messages = messages_of(2, [](ProcessGroup& group) {
    DeviceRank rank(group, 0);
    rank.connect();
    rank.communicator().bind_staging({});
    const DeviceTensor tensor = rank.tensor(values_of(rank.number(), 64));
    rank.communicator().start_reduce_scatter(tensor.view(), DType::kBFloat16);
  });
  EXPECT_THAT(messages, Each(HasSubstr("of staging are bound")));
}

TEST(Nccl, CollectivesGoBeforeOtherWorkOfTheDevice) {
  run_device_ranks(2, 0, [](DeviceRank& rank) {
    static_cast<void>(rank.communicator());
    EXPECT_EQ(simt::statistics().urgent_streams, 1U);
  });
}

TEST(Nccl, SaysWhatItIs) {
  EXPECT_TRUE(is_built_with_nccl());
  run_device_ranks(2, 0, [](DeviceRank& rank) {
    EXPECT_EQ(rank.communicator().kind(), CommunicatorKind::kNccl);
    EXPECT_EQ(rank.communicator().rank(), rank.number());
    EXPECT_EQ(rank.communicator().size(), 2);
    EXPECT_THAT(rank.communicator().description(), HasSubstr("NCCL"));
  });
}

}  // namespace
}  // namespace virgil
