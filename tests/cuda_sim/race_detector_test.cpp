// What only the race build finds: planted races are found and named, in every order of things.
#include "cuda_sim/simulator_fixtures.h"

#include <cstdint>
#include <string>
#include <vector>

namespace virgil::cuda {
namespace {

using faulty::Fault;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

using RaceDetector = Simulator;
using RacingStreams = Streams;

TEST_F(RaceDetector, FindsAMissingBarrier) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::rotate(context(), out.data(), in.data(), Fault::kMissingBarrier); },
               AnyOf(AllOf(HasSubstr("race on shared memory"), HasSubstr("faulty_kernels.cu")),
                     HasSubstr("read of shared memory that no thread of the block has written")));
}

TEST_F(RaceDetector, FindsAMissingWriteAfterReadBarrier) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::rotate(context(), out.data(), in.data(), Fault::kMissingWriteAfterReadBarrier); },
               AllOf(HasSubstr("race on shared memory"), HasSubstr("faulty_kernels.cu:21"), HasSubstr("faulty_kernels.cu:28")));
}

TEST_F(RaceDetector, FindsAMissingSyncwarp) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::swap_neighbours(context(), out.data(), in.data(), Fault::kMissingSyncwarp); },
               AnyOf(AllOf(HasSubstr("race on shared memory"), HasSubstr("faulty_kernels.cu:47"), HasSubstr(":49")),
                     HasSubstr("read of shared memory that no thread of the block has written")));
}

TEST_F(RaceDetector, FindsAnUnwaitedCopy) {
  DeviceArray<float> in(counting(256)), out(256);
  expect_fault([&] { faulty::copy_async(context(), out.data(), in.data(), Fault::kUnwaitedCopy); },
               AnyOf(HasSubstr("race on shared memory"), HasSubstr("cp.async not waited for")));
}

TEST_F(RaceDetector, FindsACopyThatOthersReadWithoutABarrier) {
  DeviceArray<float> in(counting(256)), out(256);
  expect_fault([&] { faulty::copy_async(context(), out.data(), in.data(), Fault::kCopyWithoutBarrier); },
               AnyOf(HasSubstr("race on shared memory"), HasSubstr("no thread of the block has written")));
}

TEST_F(RaceDetector, FindsThreadsThatWriteOnePlace) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::rotate(context(), out.data(), in.data(), Fault::kThreadsOfABlockCollide); },
               AllOf(HasSubstr("race on device memory"), HasSubstr("write"), HasSubstr("faulty_kernels.cu:31")));
}

TEST_F(RaceDetector, FindsBlocksThatWriteOnePlace) {
  DeviceArray<float> out(4);
  expect_fault([&] { faulty::number_blocks(context(), out.data(), Fault::kBlocksCollide); },
               AllOf(HasSubstr("race on device memory"), HasSubstr("another block")));
}

TEST_F(RaceDetector, FindsSharedMemoryThatNobodyWrote) {
  DeviceArray<float> in(counting(64)), out(64);
  expect_fault([&] { faulty::rotate(context(), out.data(), in.data(), Fault::kUninitialisedShared); },
               HasSubstr("read of shared memory that no thread of the block has written"));
}

TEST_F(RaceDetector, WantsAnAcquireBeforeTheLastBlockReads) {
  for (const bool acquire : {false, true}) {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      DeviceArray<float> out(1), partial(5);
      DeviceArray<unsigned> counter(std::vector<unsigned>{0});
      const std::string fault =
          fault_of(seed, [&] { faulty::sum_by_last_block(context(), out.data(), partial.data(), counter.data(), 5, acquire); });
      EXPECT_THAT(fault, acquire ? ::testing::Matcher<std::string>("") : HasSubstr("another block"));
      if (acquire) {
        EXPECT_EQ(out.values()[0], 160.0F);
      }
    }
  }
}

TEST_F(RacingStreams, AreNamedWhenNothingOrdersTheirWork) {
  DeviceArray<float> out(100);
  expect_fault([&] { write_on_two_streams(out.data(), false); },
               AllOf(HasSubstr("race on device memory"), HasSubstr("another stream"), HasSubstr("no event")));
}

}  // namespace
}  // namespace virgil::cuda
