// The kernel that adds what ranks have sent, against a loop, bit for bit.
#include "cuda/kernels/rank_sum.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "cuda_sim/kernel_test.h"
#include "virgil/base/bfloat16.h"

namespace virgil::cuda {
namespace {

class RankSum : public KernelTest {
 protected:
  /// `shift`: elements by which both operands miss a 16-byte boundary.
  void check_sums(int num_ranks, std::int64_t count, std::int64_t row_stride, std::int64_t shift, std::uint64_t seed) {
    std::mt19937 draw(static_cast<unsigned>(num_ranks * 1000 + count));
    std::normal_distribution<float> normal(0, 1);
    std::vector<BFloat16> in(static_cast<std::size_t>(shift + num_ranks * row_stride));
    for (BFloat16& value : in) value = BFloat16(normal(draw) * std::exp2(normal(draw) * 8));
    in[static_cast<std::size_t>(shift)] = BFloat16(-0.0F);  // a sum that begins with 0 would lose the sign
    for (int r = 1; r < num_ranks; ++r) in[static_cast<std::size_t>(shift + r * row_stride)] = BFloat16(-0.0F);
    DeviceArray<BFloat16> device_in(in);
    constexpr float kUntouched = 77;
    DeviceArray<float> device_out(std::vector<float>(static_cast<std::size_t>(shift + count + 9), kUntouched));
    ASSERT_EQ(fault_of(seed,
                       [&] {
                         sum_of_ranks(context(), device_out.data() + shift, device_in.data() + shift, count, row_stride,
                                      num_ranks);
                       }),
              "");
    const std::vector<float> out = device_out.values();
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(out.size()); ++i) {
      float expected = kUntouched;
      if (i >= shift && i < shift + count) {
        expected = static_cast<float>(in[static_cast<std::size_t>(i)]);
        for (int r = 1; r < num_ranks; ++r) expected += static_cast<float>(in[static_cast<std::size_t>(r * row_stride + i)]);
      }
      ASSERT_EQ(std::memcmp(&out[static_cast<std::size_t>(i)], &expected, sizeof expected), 0)
          << "element " << i << " of " << num_ranks << " ranks, " << count << ", " << row_stride << ", " << shift;
    }
  }
};

TEST_F(RankSum, IsInOrderOfRank) {
  std::uint64_t seed = 0;
  for (const int num_ranks : {1, 2, 3, 8, 17}) {
    for (const std::int64_t count : {1, 7, 8, 100, 2053}) {
      check_sums(num_ranks, count, (count + 7) / 8 * 8, 0, seed++);
      check_sums(num_ranks, count, count + 1, 0, seed++);
      check_sums(num_ranks, count, (count + 7) / 8 * 8, 3, seed++);
    }
  }
}

TEST_F(RankSum, OfNothingIsNothing) {
  EXPECT_EQ(fault_of(1, [&] { sum_of_ranks(context(), nullptr, nullptr, 0, 8, 4); }), "");
}

}  // namespace
}  // namespace virgil::cuda
