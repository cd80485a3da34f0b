// cuBLASLt counts columns first. A row-major (m, n) matrix is a column-major (n, m) one, so out = op(a) op(b) is computed as
// out^T = op(b)^T op(a)^T: b is the library's first operand, with n rows of the result, and a its second.
#include "cuda/cublaslt_product.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/device_resource.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

/// For calls that know of no product yet.
void check_lt(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw CudaError(status == CUBLAS_STATUS_ALLOC_FAILED ? cudaErrorMemoryAllocation : cudaErrorInvalidValue,
                  fmt::format("{}: {}", call, cublasLtGetStatusName(status)));
}

/// Throws OutOfMemoryError where the library's own allocation is what failed, else CudaError.
void check_lt(cublasStatus_t status, const char* call, const MatmulShape& shape) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string what = fmt::format("{}: {} for a product of {} x {} x {} in {}", call, cublasLtGetStatusName(status),
                                       shape.m, shape.n, shape.k, name_of(shape.dtype));
  if (status != CUBLAS_STATUS_ALLOC_FAILED) throw CudaError(cudaErrorInvalidValue, what);
  constexpr double kMiB = 1 << 20;
  throw OutOfMemoryError(fmt::format(
      "cuBLASLt has no memory left on the GPU ({}), of which {:.1f} MiB are free; close other programs that use the "
      "device, or choose a smaller batch_size",
      what, static_cast<double>(device_bytes().free) / kMiB));
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return CUDA_R_32F;
    case DType::kBFloat16:
      return CUDA_R_16BF;
    case DType::kFloat16:
      return CUDA_R_16F;
    case DType::kInt32:
      break;
  }
  throw InternalError("a matrix product of int32");
}

template <typename T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value, const MatmulShape& shape) {
  check_lt(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute", shape);
}

template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value,
         const MatmulShape& shape) {
  check_lt(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
           "cublasLtMatmulPreferenceSetAttribute", shape);
}

/// Those of AlgorithmSettings, and the width of each.
struct Setting {
  cublasLtMatmulAlgoConfigAttributes_t attribute;
  std::size_t size_bytes;
};
constexpr std::array<Setting, std::tuple_size_v<AlgorithmSettings>> kSettings = {{{CUBLASLT_ALGO_CONFIG_ID, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_TILE_ID, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_STAGES_ID, 4},
                                                                                  {CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID, 2},
                                                                                  {CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, 2}}};
constexpr std::size_t kReductionScheme = 3;  // of them

AlgorithmSettings settings_of(const cublasLtMatmulAlgo_t& algo) {
  AlgorithmSettings settings{};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    std::uint32_t value = 0;
    std::uint16_t narrow = 0;
    std::size_t written = 0;
    void* const target = kSettings[i].size_bytes == sizeof value ? static_cast<void*>(&value) : &narrow;
    // A library that does not know one has no two algorithms that differ in it.
    if (cublasLtMatmulAlgoConfigGetAttribute(&algo, kSettings[i].attribute, target, kSettings[i].size_bytes, &written) ==
        CUBLAS_STATUS_SUCCESS) {
      settings[i] = kSettings[i].size_bytes == sizeof value ? value : narrow;
    }
  }
  return settings;
}

/// Partial sums either do not exist or are added in a step of their own: they do not meet in the output in the order in which
/// they are ready.
bool repeats_its_bits(const AlgorithmSettings& settings) {
  const std::uint32_t scheme = settings[kReductionScheme];
  return scheme == CUBLASLT_REDUCTION_SCHEME_NONE || scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

}  // namespace

LtHandle make_lt_handle() {
  cublasLtHandle_t handle = nullptr;
  check_lt(cublasLtCreate(&handle), "cublasLtCreate");
  return LtHandle(handle);
}

LtProduct::LtProduct(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment, bool tf32)
    : shape_(shape), alignment_(alignment) {
  const MatmulOptions& options = shape.options;
  const cudaDataType_t type = data_type(shape.dtype), out_type = data_type(shape.out_dtype);

  cublasLtMatmulDesc_t desc = nullptr;
  check_lt(cublasLtMatmulDescCreate(&desc, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
           "cublasLtMatmulDescCreate", shape);
  desc_ = Desc(desc);
  const auto operation = [](bool transpose) -> std::int32_t { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, operation(options.transpose_b), shape);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, operation(options.transpose_a), shape);
  // Of an epilogue's operand the search reads the alignment alone, from its address: that of all operands, which is what
  // the algorithm will be used for. The true address is set for each product.
  const void* const any_operand = reinterpret_cast<const void*>(alignment);
  if (epilogue == Epilogue::kBias) {
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, std::int32_t{CUBLASLT_EPILOGUE_BIAS}, shape);
    set(desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(type), shape);
    set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, any_operand, shape);
  } else if (epilogue == Epilogue::kGeluBackward) {
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, std::int32_t{CUBLASLT_EPILOGUE_DGELU}, shape);
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, shape.n, shape);
    set(desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, any_operand, shape);
  }

  const auto layout = [&](cudaDataType_t element, std::int64_t rows, std::int64_t cols) {
    cublasLtMatrixLayout_t made = nullptr;
    check_lt(
        cublasLtMatrixLayoutCreate(&made, element, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), rows),
        "cublasLtMatrixLayoutCreate", shape);
    return Layout(made);
  };
  b_ = options.transpose_b ? layout(type, shape.k, shape.n) : layout(type, shape.n, shape.k);
  a_ = options.transpose_a ? layout(type, shape.m, shape.k) : layout(type, shape.k, shape.m);
  out_ = layout(out_type, shape.n, shape.m);
}

std::vector<ProductAlgorithm> LtProduct::candidates(cublasLtHandle_t handle, std::int64_t max_workspace_bytes) const {
  cublasLtMatmulPreference_t made = nullptr;
  check_lt(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate", shape_);
  const Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(max_workspace_bytes), shape_);
  set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}, shape_);
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(made, attribute, static_cast<std::uint32_t>(alignment_), shape_);
  }
  std::array<cublasLtMatmulHeuristicResult_t, kMostCandidates> found{};
  int num_found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, desc_.get(), b_.get(), a_.get(), out_.get(), out_.get(),
                                                               made, kMostCandidates, found.data(), &num_found);
  std::vector<ProductAlgorithm> usable;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return usable;
  check_lt(status, "cublasLtMatmulAlgoGetHeuristic", shape_);
  for (int i = 0; i < std::min(num_found, kMostCandidates); ++i) {
    const cublasLtMatmulHeuristicResult_t& result = found[static_cast<std::size_t>(i)];
    if (result.state != CUBLAS_STATUS_SUCCESS) continue;  // there is no algorithm in it
    const AlgorithmSettings settings = settings_of(result.algo);
    const bool is_new = std::ranges::none_of(usable, [&](const auto& other) { return other.settings == settings; });
    if (is_new && repeats_its_bits(settings)) usable.push_back({result.algo, result.workspaceSize, settings});
  }
  return usable;
}

void LtProduct::run(cublasLtHandle_t handle, const ProductAlgorithm& algorithm, const ProductOperands& operands,
                    std::span<std::byte> workspace, cudaStream_t stream) const {
  if (operands.epilogue != Epilogue::kNone) {
    const bool is_bias = operands.epilogue == Epilogue::kBias;
    set(desc_.get(), is_bias ? CUBLASLT_MATMUL_DESC_BIAS_POINTER : CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
        operands.epilogue_operand, shape_);
  }
  VIRGIL_CHECK(algorithm.workspace_bytes <= workspace.size(), "matmul: {} bytes of workspace are bound, {} are needed",
               workspace.size(), algorithm.workspace_bytes);
  const float alpha = 1, beta = shape_.options.accumulate ? 1.0F : 0.0F;
  check_lt(
      cublasLtMatmul(handle, desc_.get(), &alpha, operands.b, b_.get(), operands.a, a_.get(), &beta, operands.out, out_.get(),
                     operands.out, out_.get(), &algorithm.algo, workspace.data(), algorithm.workspace_bytes, stream),
      "cublasLtMatmul", shape_);
}

}  // namespace virgil::cuda
