// The list of backends under test: the CPU with 1, 2 and 4 threads, and with each set of vector instructions that it has.
#include "backend/cpu/simd_targets.h"  // before Highway

#include <fmt/format.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend_conformance/harness.h"

namespace virgil::conformance {

namespace {

std::function<std::unique_ptr<Backend>()> cpu_maker(int num_threads, bool native_bfloat16 = true) {
  return [=] { return make_cpu_backend({.num_threads = num_threads, .native_bfloat16 = native_bfloat16}); };
}

/// Highway keeps the choice of instructions in a process-wide variable: it is set for one test at a time.
BackendCase case_of_target(std::int64_t target, DType dtype) {
  std::string name = hwy::TargetName(target);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {.name = fmt::format("cpu_2_threads_{}_{}", name, name_of(dtype)),
          .make = cpu_maker(2),
          .dtype = dtype,
          .make_twin = cpu_maker(1),
          .enter = [target] { hwy::SetSupportedTargetsForTest(target); },
          .leave = [] { hwy::SetSupportedTargetsForTest(0); }};
}

}  // namespace

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  const auto add = [&](const std::string& name, DType dtype, int num_threads, bool native_bfloat16 = true) {
    cases.push_back({.name = fmt::format("{}_{}", name, name_of(dtype)),
                     .make = cpu_maker(num_threads, native_bfloat16),
                     .dtype = dtype,
                     .make_twin = num_threads > 1 ? cpu_maker(1, native_bfloat16) : nullptr,
                     .enter = nullptr,
                     .leave = nullptr});
  };
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    add("cpu_2_threads", dtype, 2);
#ifndef __SANITIZE_ADDRESS__  // the same code with another number of threads
    add("cpu_1_thread", dtype, 1);
    add("cpu_4_threads", dtype, 4);
#endif
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) cases.push_back(case_of_target(target, dtype));
  }
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const auto maker = [](int num_threads) {
      return [=] { return make_cpu_backend({.num_threads = num_threads, .thread_invariant = true}); };
    };
    cases.push_back({.name = fmt::format("cpu_3_threads_invariant_{}", name_of(dtype)),
                     .make = maker(3),
                     .dtype = dtype,
                     .make_twin = maker(1),
                     .enter = nullptr,
                     .leave = nullptr,
                     .same_products = true});
  }
  // As on a processor that has no bfloat16 products.
  add("cpu_2_threads_emulated", DType::kBFloat16, 2, false);
  return cases;
}

}  // namespace virgil::conformance
