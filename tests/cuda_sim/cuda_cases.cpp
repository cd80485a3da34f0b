// The backends of the simulator's conformance suite: CUDA in each type, on several architectures and under several seeds.

#include <fmt/format.h>

#include <cstdint>
#include <vector>

#include "backend_conformance/harness.h"
#include "cuda/sim/control.h"
#include "cuda/sim/simt.h"
#include "virgil/backend/cuda_backend.h"

namespace virgil::conformance {

namespace {

BackendCase simulated(DType dtype, int compute_capability, std::uint64_t seed) {
  const auto make = [] { return make_cuda_backend({}); };
  return {.name = fmt::format("sm_{}_seed_{}_{}", compute_capability, seed, name_of(dtype)),
          .make = make,
          .dtype = dtype,
          .make_twin = nullptr,  // check() runs twice, and the second run meets another order of threads
          .enter =
              [=] {
                simt::reset_error();
                simt::set_device({.compute_capability = compute_capability});
                simt::set_schedule(simt::schedule_of(seed));
              },
          .leave =
              [] {
                simt::reset_error();
                simt::set_device({});
                simt::set_schedule(simt::schedule_of(0));
              },
          .checks_indices = false};
}

}  // namespace

std::vector<BackendCase> backend_cases() {
  // Slow builds take each type once: what they look for does not hide behind an architecture.
  std::vector<BackendCase> cases = {simulated(DType::kFloat32, 80, 2), simulated(DType::kBFloat16, 90, 4),
                                    simulated(DType::kFloat16, 86, 1)};
#ifndef __SANITIZE_ADDRESS__
  if (!simt::racing()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) cases.push_back(simulated(dtype, 90, 0));
    cases.push_back(simulated(DType::kBFloat16, 86, 1));
  }
#endif
  cases.push_back(simulated(DType::kFloat16, 75, 3));  // no mma of bfloat16, no cp.async
  return cases;
}

}  // namespace virgil::conformance
