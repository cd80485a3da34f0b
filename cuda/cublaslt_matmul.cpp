#include "cuda/cublaslt_matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cuda/cuda_traits.h"
#include "cuda/product_timing.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

constexpr std::uintptr_t kMaxAlignment = 256;
// cublasLtMatmulDescAttributes_t: the leading dimension of the GELU's input is a multiple of 8; vectors of 16 bytes read it.
constexpr std::int64_t kGeluWidthMultiple = 8;
constexpr std::uintptr_t kGeluAlignment = 16;

std::uintptr_t alignment_of(std::initializer_list<const void*> pointers) {
  std::uintptr_t bits = kMaxAlignment;
  for (const void* pointer : pointers) bits |= reinterpret_cast<std::uintptr_t>(pointer);
  return bits & (~bits + 1);  // the lowest bit
}

/// A product among the choices that are kept: all that the library is asked with.
std::string name_of_product(const MatmulShape& s, Epilogue epilogue, std::uintptr_t alignment, bool tf32) {
  const char* const followed_by = epilogue == Epilogue::kNone ? "" : epilogue == Epilogue::kBias ? ", bias" : ", GELU backward";
  return fmt::format("{} x {} x {}, {}{}{} times {}{} {} {}{}, aligned to {}", s.m, s.n, s.k, name_of(s.dtype),
                     tf32 ? " as TF32" : "", s.options.transpose_a ? " transposed" : "", name_of(s.dtype),
                     s.options.transpose_b ? " transposed" : "", s.options.accumulate ? "added to" : "to", name_of(s.out_dtype),
                     followed_by, alignment);
}

bool is_captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

}  // namespace

CublasLtMatmul::CublasLtMatmul(const LaunchContext& context, Options options)
    : context_(context), options_(std::move(options)), handle_(make_lt_handle()) {}

std::int64_t CublasLtMatmul::workspace_bytes() const { return matmul_workspace_bytes(context_.compute_capability); }

std::string CublasLtMatmul::library_version() {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

CublasLtMatmul::Key CublasLtMatmul::key_of(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment) {
  return {shape.m,
          shape.n,
          shape.k,
          static_cast<int>(shape.dtype),
          static_cast<int>(shape.out_dtype),
          shape.options.transpose_a,
          shape.options.transpose_b,
          shape.options.accumulate,
          epilogue,
          alignment};
}

const CublasLtMatmul::Plan* CublasLtMatmul::find_plan(const MatmulShape& shape, const ProductOperands& operands,
                                                      std::uintptr_t alignment, std::span<std::byte> workspace) {
  const Key key = key_of(shape, operands.epilogue, alignment);
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, make_plan(shape, operands, alignment, workspace)).first;
  return found->second ? &*found->second : nullptr;
}

std::optional<CublasLtMatmul::Plan> CublasLtMatmul::make_plan(const MatmulShape& shape, const ProductOperands& operands,
                                                              std::uintptr_t alignment, std::span<std::byte> workspace) {
  const bool tf32 = options_.tf32 && shape.dtype == DType::kFloat32 && context_.compute_capability >= 80;
  LtProduct product(shape, operands.epilogue, alignment, tf32);
  const std::vector<ProductAlgorithm> candidates = product.candidates(handle_.get(), workspace_bytes());
  if (candidates.empty()) return std::nullopt;
  const ProductAlgorithm algorithm =
      choose(product, candidates, name_of_product(shape, operands.epilogue, alignment, tf32), operands, workspace);
  return Plan{std::move(product), algorithm};
}

const ProductAlgorithm& CublasLtMatmul::choose(const LtProduct& product, const std::vector<ProductAlgorithm>& candidates,
                                               const std::string& name, const ProductOperands& operands,
                                               std::span<std::byte> workspace) {
  const auto find = [&](const AlgorithmSettings& settings) {
    return std::ranges::find_if(candidates, [&](const auto& candidate) { return candidate.settings == settings; });
  };
  const auto is_usable = [&](const AlgorithmSettings& settings) { return find(settings) != candidates.end(); };
  if (const auto kept = options_.choices.find(name); kept && is_usable(*kept)) return *find(*kept);
  if (!options_.times_new || candidates.size() == 1 || is_captured(context_.stream)) return candidates.front();
  // What is in the stream may wait for other processes, which must not wait for this one's choice: it ends before that begins.
  check(cudaStreamSynchronize(context_.stream), "cudaStreamSynchronize");
  const auto chosen = options_.choices.find_or_keep(
      name, is_usable, [&] { return fastest(product, candidates, operands, workspace, handle_.get(), context_.stream); });
  return chosen ? *find(*chosen) : candidates.front();
}

void CublasLtMatmul::run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape,
                         std::span<std::byte> workspace) {
  const Epilogue epilogue = bias != nullptr ? Epilogue::kBias : Epilogue::kNone;
  const ProductOperands operands{out, a, b, epilogue, bias};
  const Plan* plan = find_plan(shape, operands, alignment_of({out, a, b, bias}), workspace);
  if (plan == nullptr) {
    throw CudaError(cudaErrorInvalidValue, fmt::format("cuBLASLt has no algorithm for a product of {} x {} x {} in {}", shape.m,
                                                       shape.n, shape.k, name_of(shape.dtype)));
  }
  run(*plan, operands, workspace);
}

bool CublasLtMatmul::run_with_gelu_backward(void* dinp, const void* dout, const void* weight, const void* hidden,
                                            const MatmulShape& shape, std::span<std::byte> workspace) {
  const int generation = context_.compute_capability / 10;
  const std::uintptr_t alignment = alignment_of({dinp, dout, weight, hidden});
  if (shape.dtype == DType::kFloat32 || (generation != 9 && generation != 10) || shape.n % kGeluWidthMultiple != 0 ||
      alignment < kGeluAlignment) {
    return false;
  }
  const ProductOperands operands{dinp, dout, weight, Epilogue::kGeluBackward, hidden};
  const Key key = key_of(shape, Epilogue::kGeluBackward, alignment);
  const bool is_new = !plans_.contains(key);
  try {
    const Plan* plan = find_plan(shape, operands, alignment, workspace);
    if (plan != nullptr) run(*plan, operands, workspace);
    return plan != nullptr;
  } catch (const CudaError&) {
    if (!is_new) throw;
  } catch (const OutOfMemoryError&) {
    if (!is_new) throw;
  }
  // Two kernels do the same: what keeps the library from one is no reason to end a run. From now on the shape has its way.
  plans_[key] = std::nullopt;
  return false;
}

void CublasLtMatmul::run(const Plan& plan, const ProductOperands& operands, std::span<std::byte> workspace) const {
  plan.product.run(handle_.get(), plan.algorithm, operands, workspace, context_.stream);
}

}  // namespace virgil::cuda
