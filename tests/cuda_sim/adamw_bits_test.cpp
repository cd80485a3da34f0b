// AdamW gives the same bits on the CPU and on the GPU, where the CPU has fused multiply-adds as every GPU has.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "backend_conformance/adamw_fixture.h"
#include "cuda/sim/control.h"
#include "cuda/sim/simt.h"
#include "virgil/backend/cuda_backend.h"

namespace virgil::conformance {
namespace {

class AdamWBits : public testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  static constexpr std::int64_t kCount = 5003;

  static std::map<std::string, std::vector<float>> update(Backend& backend, std::int64_t t) {
    const auto [param, moments] = GetParam();
    OpRun run(backend, DType::kFloat32);
    const auto in_out = [&](const char* name, std::uint64_t seed, float stddev, DType dtype) {
      std::vector<float> values = normal_values(kCount, seed, stddev);
      for (float& value : values) {
        if (dtype == DType::kBFloat16) value = static_cast<float>(BFloat16(value));
        if (std::string_view(name) == "v") value = std::abs(value);
      }
      return run.in_out(name, {kCount}, values, dtype);
    };
    const TensorView p = in_out("param", 1, 1, param), m = in_out("m", 2, 0.1F, moments), v = in_out("v", 3, 0.01F, moments);
    const TensorView working = param == DType::kFloat32 ? run.output("working", {kCount}, DType::kBFloat16) : TensorView{};
    backend.run(ops::AdamWUpdate{p,
                                 working,
                                 m,
                                 v,
                                 run.input({kCount}, normal_values(kCount, 4)),
                                 run.input({1}, std::vector<float>{3.7F}),
                                 {.learning_rate = 3e-4F,
                                  .beta2 = 0.99F,
                                  .weight_decay = 0.1F,
                                  .t = t,
                                  .max_norm = 1,
                                  .grad_scale = 0.125F,
                                  .rounding = {.seed = 0x123456789ABCDEF, .site = 2, .step = static_cast<std::uint32_t>(t)},
                                  .first_index = 128}});
    return run.finish();
  }
};

TEST_P(AdamWBits, AreTheCpus) {
  const auto cpu = make_cpu_backend({.num_threads = 2});
  if (!testing::Matches(testing::AnyOf(testing::HasSubstr("AVX"), testing::HasSubstr("NEON")))(cpu->description())) {
    GTEST_SKIP() << "no fused multiply-adds: " << cpu->description();
  }
  simt::set_device({.compute_capability = 90});
  const auto gpu = make_cuda_backend({});
  for (const std::int64_t t : {1, 2, 1000}) {
    const auto expected = update(*cpu, t);
    const auto actual = update(*gpu, t);
    for (const auto& [name, values] : expected) expect_same_bits(name, actual.at(name), values);
  }
  simt::set_device({});
}

INSTANTIATE_TEST_SUITE_P(Types, AdamWBits,
                         testing::Combine(testing::Values(DType::kFloat32, DType::kBFloat16),
                                          testing::Values(DType::kFloat32, DType::kBFloat16)),
                         [](const auto& info) {
                           return fmt::format("{}_moments_{}", name_of(std::get<0>(info.param)),
                                              name_of(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace virgil::conformance
