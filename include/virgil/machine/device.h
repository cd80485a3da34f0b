// The device a program computes on, as its user names it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "virgil/backend/backend.h"
#include "virgil/base/logging.h"
#include "virgil/config/train_config.h"

namespace virgil {

/// Which of cuBLASLt's algorithms a GPU's products take (docs/gpu.md).
enum class ProductTuning {
  kOff,   // the library's first
  kKept,  // what a training run has chosen, else the library's first
  kTime,  // the same, and what is new is timed and kept
};

/// The keys of the same names (docs/configuration.md).
struct DeviceRequest {
  std::string device = "auto";  // auto | cpu | cuda | cuda:N
  std::int64_t threads = 0;     // of the CPU backend; 0: as many as the process may use
  bool thread_invariant = false;
  bool tf32 = false;
  bool cuda_graph = true;
  std::string attention = "virgil";  // virgil | cudnn | auto
  ProductTuning product_tuning = ProductTuning::kKept;
  int gpu = 0;  // that cuda and auto mean
};

/// What a config asks for.
[[nodiscard]] DeviceRequest device_request(const TrainConfig& config);

/// The backend asked for; auto is the first GPU where there is one that can be used, else the CPU, and says through `log` when
/// a build with CUDA falls back to it. Throws UserError: a device that is not there, with what is, or a build without CUDA;
/// attention by cuDNN on the CPU, or where make_cuda_backend() refuses it. `log` outlives the backend, which tells it of
/// choices.
[[nodiscard]] std::unique_ptr<Backend> make_backend(const DeviceRequest& request, Logger& log);

/// The backend's description, and what its device's memory holds before the plan: "...; context 312.0 MiB, 22.81 GiB of 23.64
/// GiB free".
[[nodiscard]] std::string describe_device(const Backend& backend);

}  // namespace virgil
