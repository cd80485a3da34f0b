#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>

#include "backend/cpu/adamw.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/causal_conv.h"
#include "backend/cpu/column_sums.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/copies.h"
#include "backend/cpu/cross_entropy.h"
#include "backend/cpu/dropout_backward.h"
#include "backend/cpu/embedding.h"
#include "backend/cpu/gelu.h"
#include "backend/cpu/glu.h"
#include "backend/cpu/muon.h"
#include "backend/cpu/norm.h"
#include "backend/cpu/reductions.h"
#include "backend/cpu/relu_squared.h"
#include "backend/cpu/rotary.h"
#include "backend/cpu/system_limits.h"
#include "backend/cpu/vector_target.h"
#include "virgil/ops/call.h"

namespace virgil {

namespace cpu {

CpuBackend::CpuBackend(const CpuOptions& options)
    : num_threads_(options.num_threads),
      native_bfloat16_(options.native_bfloat16 && cpu_multiplies_bfloat16()),
      memory_(options.num_threads),
      matmul_({.num_threads = options.num_threads,
               .native_bfloat16 = options.native_bfloat16,
               .thread_invariant = options.thread_invariant}),
      traits_(options.num_threads, matmul_) {}

std::string CpuBackend::description() const {
  return fmt::format("cpu: {} thread{}, {}, oneDNN {}", num_threads_, num_threads_ == 1 ? "" : "s", vector_target_name(),
                     OneDnnMatmul::library_version());
}

std::int64_t CpuBackend::available_bytes() const { return available_memory_bytes(); }

std::span<const DType> CpuBackend::dtypes() const {
  static constexpr std::array kNative = {DType::kBFloat16, DType::kFloat32};
  static constexpr std::array kWidened = {DType::kFloat32, DType::kBFloat16};
  return native_bfloat16_ ? kNative : kWidened;
}

void CpuBackend::bind_workspace(std::span<std::byte> workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  VIRGIL_CHECK(address % HostMemoryResource::kAlignment == 0, "the workspace is not {}-byte aligned",
               HostMemoryResource::kAlignment);
  workspace_ = workspace;
}

void CpuBackend::copy_from_host(TensorView dst, std::span<const std::byte> src) {
  VIRGIL_CHECK(std::ssize(src) == dst.size_bytes(), "copy_from_host: {} bytes to a tensor of {}", src.size(), dst.size_bytes());
  copy_bytes(dst.data(), src.data(), dst.size_bytes(), num_threads_);
}

void CpuBackend::copy_to_host(std::span<std::byte> dst, ConstTensorView src) {
  VIRGIL_CHECK(std::ssize(dst) == src.size_bytes(), "copy_to_host: a tensor of {} bytes to {}", src.size_bytes(), dst.size());
  copy_bytes(dst.data(), src.data(), src.size_bytes(), num_threads_);
}

void CpuBackend::run(const Call& call) {
  std::visit([&](const auto& op) { cpu::run(op, context()); }, call);
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  if (options.num_threads < 0) {
    throw user_error("threads is {}: give a positive number, or 0 for as many as the process may use", options.num_threads);
  }
  CpuOptions resolved = options;
  if (resolved.num_threads == 0) resolved.num_threads = cpu::available_threads();
  return std::make_unique<cpu::CpuBackend>(resolved);
}

}  // namespace virgil
