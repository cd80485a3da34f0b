// The list of backends under test: the CPU with 1, 2 and 4 threads, and with each set of vector instructions that it has.
#include "backend/cpu/simd_targets.h"  // before Highway

#include <hwy/targets.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "backend_conformance/harness.h"

namespace virgil::conformance {

namespace {

std::function<std::unique_ptr<Backend>()> cpu_maker(int num_threads) {
  return [num_threads] { return make_cpu_backend({.num_threads = num_threads}); };
}

/// Highway keeps the choice of instructions in a process-wide variable: it is set for one test at a time.
BackendCase case_of_target(std::int64_t target) {
  std::string name = hwy::TargetName(target);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return {.name = "cpu_2_threads_" + name,
          .make = cpu_maker(2),
          .make_twin = cpu_maker(1),
          .enter = [target] { hwy::SetSupportedTargetsForTest(target); },
          .leave = [] { hwy::SetSupportedTargetsForTest(0); }};
}

}  // namespace

std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases = {
      {.name = "cpu_1_thread", .make = cpu_maker(1), .make_twin = nullptr, .enter = nullptr, .leave = nullptr},
      {.name = "cpu_2_threads", .make = cpu_maker(2), .make_twin = cpu_maker(1), .enter = nullptr, .leave = nullptr},
      {.name = "cpu_4_threads", .make = cpu_maker(4), .make_twin = cpu_maker(1), .enter = nullptr, .leave = nullptr}};
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) cases.push_back(case_of_target(target));
  return cases;
}

}  // namespace virgil::conformance
