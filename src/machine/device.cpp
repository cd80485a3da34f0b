#include "virgil/machine/device.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>

#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/config/device_name.h"
#include "virgil/machine/measured_dtype.h"

namespace virgil {

namespace {

constexpr std::string_view kCudnn = "cudnn", kAuto = "auto";

std::unique_ptr<Backend> make_cpu(const DeviceRequest& request) {
  if (request.attention == kCudnn) {
    throw user_error("attention is cudnn, and the device is the CPU: cuDNN is for NVIDIA GPUs; use --attention virgil");
  }
  return make_cpu_backend({.num_threads = static_cast<int>(request.threads), .thread_invariant = request.thread_invariant});
}

std::unique_ptr<Backend> make_cuda(int index, const DeviceRequest& request, Logger& log) {
  const AttentionKernels attention = request.attention == kCudnn  ? AttentionKernels::kCudnn
                                     : request.attention == kAuto ? AttentionKernels::kAuto
                                                                  : AttentionKernels::kVirgil;
  const bool keeps_choices = request.product_tuning != ProductTuning::kOff;
  return make_cuda_backend({.device = index,
                            .tf32 = request.tf32,
                            .graphs = request.cuda_graph,
                            .attention = attention,
                            .product_choices = keeps_choices ? measurement_cache_folder() : std::filesystem::path(),
                            .time_products = request.product_tuning == ProductTuning::kTime,
                            .note = [&log](const std::string& line) { log.info(line); }});
}

/// What the key asks for, where it can be known without the device: cuDNN computes nothing that is dropped, in float32, or of
/// one position. dtype auto has 16 bits on every GPU that takes cuDNN.
std::string attention_of(const TrainConfig& config) {
  const bool is_cudnns = config.dropout == 0 && config.dtype != "float32" && config.block_size > 1;
  return config.attention == kAuto && !is_cudnns ? "virgil" : config.attention;
}

}  // namespace

DeviceRequest device_request(const TrainConfig& config) {
  return {.device = config.device,
          .threads = config.threads,
          .thread_invariant = config.thread_invariant,
          .tf32 = config.tf32,
          .cuda_graph = config.cuda_graph,
          .attention = attention_of(config),
          .product_tuning = config.cublaslt_tuning ? ProductTuning::kTime : ProductTuning::kOff};
}

std::unique_ptr<Backend> make_backend(const DeviceRequest& request, Logger& log) {
  if (const std::string problem = check_device(request.device); !problem.empty()) {
    throw user_error("device \"{}\" {}", request.device, problem);
  }
  if (const std::optional<int> index = cuda_index(request.device, request.gpu)) return make_cuda(*index, request, log);
  if (request.device == "cpu") return make_cpu(request);
  if (cuda_device_count() > 0) return make_cuda(request.gpu, request, log);
  if (const std::string problem = cuda_problem(); !problem.empty()) {
    log.warn(fmt::format("computing on the CPU: {}; --device cpu asks for it without this note", problem));
  }
  return make_cpu(request);
}

std::string describe_device(const Backend& backend) {
  const std::optional<DeviceMemory> memory = backend.device_memory();
  if (!memory) return backend.description();
  return fmt::format("{}; context {}, {} of {} free", backend.description(), format_bytes(memory->context_bytes),
                     format_bytes(memory->free_bytes), format_bytes(memory->total_bytes));
}

}  // namespace virgil
