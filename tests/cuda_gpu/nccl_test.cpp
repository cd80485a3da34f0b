// NCCL between this machine's GPUs, with ranks as threads; skipped where there are fewer than two.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "support/thread_group.h"
#include "virgil/backend/cuda_backend.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/nccl_communicator.h"
#include "virgil/memory/buffer.h"

namespace virgil {
namespace {

float value_of(int rank, std::int64_t i) { return std::ldexp(static_cast<float>((i * 37 + rank * 101) % 997) - 498, -rank); }

class GpuNccl : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() < 2) GTEST_SKIP() << "needs two GPUs, and there are " << cuda_device_count();
  }
  static int num_ranks() { return std::min(cuda_device_count(), 8); }

  /// What a reduce-scatter of `count` elements on each rank brings, part by part.
  static std::vector<float> sums(std::int64_t count, DType wire) {
    std::vector<float> sums(static_cast<std::size_t>(count));
    test_support::run_ranks(num_ranks(), [&](ProcessGroup& group) {
      const std::unique_ptr<Backend> backend = make_cuda_backend({.device = group.rank()});
      const std::int64_t staging_bytes = communicator_staging_bytes(CommunicatorKind::kNccl, group.size(), wire);
      const Buffer memory(backend->memory(), count * size_of(DType::kFloat32), {MemoryCategory::kGradients, "tensor"});
      const Buffer staging(backend->memory(), staging_bytes, {MemoryCategory::kWorkspace, "staging"});
      const std::unique_ptr<Communicator> communicator = make_nccl_communicator(*backend, group);
      communicator->bind_staging({staging.data(), static_cast<std::size_t>(staging.size_bytes())});
      const TensorView tensor(memory.data(), DType::kFloat32, {count});
      std::vector<float> values(static_cast<std::size_t>(count));
      for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = value_of(group.rank(), i);
      backend->copy_from_host(tensor, std::as_bytes(std::span(values)));
      communicator->wait(communicator->start_all_reduce(tensor, wire));
      communicator->finish();
      backend->copy_to_host(std::as_writable_bytes(std::span(values)), tensor);
      if (group.is_root()) sums = values;
      group.barrier();
      EXPECT_EQ(std::memcmp(values.data(), sums.data(), values.size() * sizeof(float)), 0) << "of rank " << group.rank();
    });
    return sums;
  }
};

TEST_F(GpuNccl, SumsFloat32) {
  const std::int64_t count = num_ranks() * std::int64_t{100003};
  const std::vector<float> found = sums(count, DType::kFloat32);
  for (std::int64_t i = 0; i < count; ++i) {
    double exact = 0, magnitude = 0;
    for (int r = 0; r < num_ranks(); ++r) {
      exact += value_of(r, i);
      magnitude += std::abs(value_of(r, i));
    }
    // R - 1 additions, half an ulp of at most the sum of magnitudes each.
    ASSERT_NEAR(found[static_cast<std::size_t>(i)], exact, magnitude * (num_ranks() - 1) * 0x1p-24) << i;
  }
  EXPECT_EQ(sums(count, DType::kFloat32), found) << "the same bits again";
}

TEST_F(GpuNccl, SumsBFloat16InOrderOfRank) {
  const std::int64_t count = num_ranks() * (communicator_piece_elements(num_ranks()) + 5);
  const std::vector<float> found = sums(count, DType::kBFloat16);
  for (std::int64_t i = 0; i < count; ++i) {
    float expected = static_cast<float>(BFloat16(value_of(0, i)));
    for (int r = 1; r < num_ranks(); ++r) expected += static_cast<float>(BFloat16(value_of(r, i)));
    ASSERT_EQ(found[static_cast<std::size_t>(i)], expected) << i;
  }
}

TEST_F(GpuNccl, RefusesTwoRanksOnOneGpu) {
  test_support::run_ranks(2, [](ProcessGroup& group) {
    const std::unique_ptr<Backend> backend = make_cuda_backend({});
    EXPECT_THROW(static_cast<void>(make_nccl_communicator(*backend, group)), UserError);
  });
}

}  // namespace
}  // namespace virgil
