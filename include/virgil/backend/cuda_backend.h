// NVIDIA GPUs as a backend. A program links one library that defines these functions: virgil_cuda, virgil_cuda_sim (the
// simulator of docs/simulator.md) or virgil_no_cuda, for builds without CUDA; all three can plan for a GPU that is not there.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"

namespace virgil {

/// Whose kernels compute attention's forward and backward passes. Generation with a cache is always by ours.
enum class AttentionKernels {
  kVirgil,  // those of cuda/kernels
  kCudnn,   // cuDNN's: 16-bit types, no dropout, a program built with cuDNN
  kAuto,    // cuDNN's on GPUs where ours cannot reach the tensor cores' rate (sm_90), for what cuDNN computes; else ours
};

struct CudaOptions {
  int device = 0;      // as cudaSetDevice counts
  bool tf32 = false;   // products of float32 may round their factors to TF32 (10 bits of mantissa), where the GPU has it
  bool graphs = true;  // sequences of ops (OpSequence) are recorded as CUDA graphs and repeated; the bits are the same
  AttentionKernels attention = AttentionKernels::kVirgil;
  /// Where the choice among cuBLASLt's algorithms is kept for each product (docs/gpu.md); empty: the library's first, always.
  std::filesystem::path product_choices = {};
  /// A product without a kept choice has its candidates timed, and the choice is kept; false: it gets the library's first.
  bool time_products = false;
  /// Gets lines for the user, as long as the backend lives: what was chosen for what reason, a file that is ignored.
  std::function<void(const std::string&)> note = {};
};

/// Devices that this build can ask for; 0 without CUDA, without a driver and without a GPU.
[[nodiscard]] int cuda_device_count();

/// Why there is no device although the build has CUDA: no driver, or one too old. Empty where there is one, and in a build
/// without CUDA.
[[nodiscard]] std::string cuda_problem();

/// Throws UserError, saying what would be needed: a build without CUDA, no driver or one too old, no such device, a device for
/// which the build has no code; with AttentionKernels::kCudnn a build without cuDNN, no library, or a device that it does not
/// serve. Throws OutOfMemoryError where the device cannot even hold the context.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

/// The oldest GPUs that the kernels run on, ten times the compute capability: Turing.
inline constexpr int kLeastComputeCapability = 75;

/// What make_cuda_backend() would tell of a GPU, for plans on a machine that has none.
struct PlannedDevice {
  std::shared_ptr<const BackendTraits> traits;  // of our own kernels; what cuDNN's attention takes, only a device tells
  std::vector<DType> dtypes;                    // as Backend::dtypes()
};
/// `compute_capability` is ten times the device's: 89 for 8.9, and at least kLeastComputeCapability.
[[nodiscard]] PlannedDevice planned_cuda_device(int compute_capability);

}  // namespace virgil
