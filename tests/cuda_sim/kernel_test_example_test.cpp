// The test that docs/simulator.md shows.

#include <cstdint>
#include <vector>

#include "cuda/kernels/gelu.h"
#include "cuda_sim/kernel_test.h"

namespace virgil::cuda {
namespace {

TEST_F(KernelTest, GeluOfZeroIsZero) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    DeviceArray<float> in(std::vector<float>(100, 0.0F)), out(100);
    EXPECT_EQ(fault_of(seed, [&] { gelu_forward(context(), DType::kFloat32, out.data(), in.data(), 100); }), "");
    EXPECT_EQ(out.values()[99], 0.0F);
  }
}

}  // namespace
}  // namespace virgil::cuda
