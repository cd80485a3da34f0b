// Instructions of the tensor cores against plain loops. Operands are small whole numbers, so that every sum is exact.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda_sim/kernel_test.h"
#include "cuda_sim/tensor_core_kernels.h"
#include "virgil/base/bfloat16.h"

namespace virgil::cuda {
namespace {

class TensorCore : public KernelTest {
 protected:
  /// -8 to 8, in no order that a swapped index would leave.
  static float value(int i) { return static_cast<float>(i * 7 % 17 - 8); }
  template <typename T>
  static std::vector<T> values(int count, int first) {
    std::vector<T> result;
    for (int i = 0; i < count; ++i) result.emplace_back(value(first + i));
    return result;
  }
  /// d (16, 8), where a has value(row * k + column), b value(1000 + row * k + column) and d value(i) before.
  static std::vector<float> product(int k) {
    std::vector<float> d = values<float>(16 * 8, 0);
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 8; ++n) {
        for (int l = 0; l < k; ++l) d[static_cast<std::size_t>(m * 8 + n)] += value(m * k + l) * value(1000 + n * k + l);
      }
    }
    return d;
  }
  template <typename T>
  void check_16_bit() {
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
      DeviceArray<T> a(values<T>(16 * 16, 0)), b(values<T>(8 * 16, 1000));
      DeviceArray<float> d(values<float>(16 * 8, 0));
      EXPECT_EQ(
          fault_of(seed, [&] { tensor_core::multiply_16_bit(context(), DTypeOf<T>::value, d.data(), a.data(), b.data()); }),
          "");
      EXPECT_EQ(d.values(), product(16)) << "seed " << seed;
    }
  }
};

TEST_F(TensorCore, MultipliesBFloat16) { check_16_bit<BFloat16>(); }
TEST_F(TensorCore, MultipliesFloat16) { check_16_bit<Float16>(); }

TEST_F(TensorCore, LoadsTilesAsTheyLieAndTransposed) {
  std::vector<std::uint16_t> numbers(32 * 8);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint16_t>(i);
  for (const bool transpose : {false, true}) {
    DeviceArray<std::uint16_t> in(numbers), out(numbers.size());
    EXPECT_EQ(fault_of(2, [&] { tensor_core::load_tiles(context(), out.data(), in.data(), transpose); }), "");
    const std::vector<std::uint16_t> results = out.values();
    for (std::size_t row = 0; row < 32; ++row) {
      for (std::size_t column = 0; column < 8; ++column) {
        const std::size_t from = transpose ? (row / 8 * 8 + column) * 8 + row % 8 : row * 8 + column;
        EXPECT_EQ(results[row * 8 + column], numbers[from]) << row << ", " << column;
      }
    }
  }
}

}  // namespace
}  // namespace virgil::cuda
