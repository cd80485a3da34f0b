// What to tell of a GPU that cannot run the kernels of this program.
#pragma once

#include <cuda_runtime.h>

#include <string>

namespace virgil::cuda {

/// "12.4" of CUDA's 12040.
[[nodiscard]] std::string version_text(int version);

struct ProbedDevice {
  std::string name;
  int compute_capability = 0;  // 10 * major + minor
  int driver_version = 0;      // the newest CUDA that it serves, as cudaDriverGetVersion() tells; 0: not known
};

/// Why a kernel cannot be loaded, by what loading one has answered, and what to do about it: a GPU older than all that Virgil
/// has code for, PTX that the driver does not read, no code for this GPU, or the runtime's own words.
[[nodiscard]] std::string describe_missing_code(cudaError_t status, const ProbedDevice& device);

}  // namespace virgil::cuda
