// cuBLASLt counts columns first. A row-major (m, n) matrix is a column-major (n, m) one, so out = op(a) op(b) is computed as
// out^T = op(b)^T op(a)^T: b is the library's first operand, with n rows of the result, and a its second.
#include "cuda/cublaslt_matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "cuda/cuda_traits.h"
#include "cuda/device_resource.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

constexpr std::uintptr_t kMaxAlignment = 256;
// cublasLtMatmulDescAttributes_t: the leading dimension of the GELU's input is a multiple of 8; vectors of 16 bytes read it.
constexpr std::int64_t kGeluWidthMultiple = 8;
constexpr std::uintptr_t kGeluAlignment = 16;

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

std::uintptr_t alignment_of(std::initializer_list<const void*> pointers) {
  std::uintptr_t bits = kMaxAlignment;
  for (const void* pointer : pointers) bits |= reinterpret_cast<std::uintptr_t>(pointer);
  return bits & (~bits + 1);  // the lowest bit
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

}  // namespace

CublasLtMatmul::CublasLtMatmul(const LaunchContext& context, bool tf32) : context_(context), tf32_(tf32) {
  cublasLtHandle_t handle = nullptr;
  check_lt(cublasLtCreate(&handle), "cublasLtCreate");
  handle_ = Handle(handle);
}

std::int64_t CublasLtMatmul::workspace_bytes() const { return matmul_workspace_bytes(context_.compute_capability); }

std::string CublasLtMatmul::library_version() {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

const CublasLtMatmul::Plan* CublasLtMatmul::find_plan(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment) {
  const Key key{shape.m,
                shape.n,
                shape.k,
                static_cast<int>(shape.dtype),
                static_cast<int>(shape.out_dtype),
                shape.options.transpose_a,
                shape.options.transpose_b,
                shape.options.accumulate,
                epilogue,
                alignment};
  auto found = plans_.find(key);
  if (found == plans_.end()) found = plans_.emplace(key, plan_or_none(shape, epilogue, alignment)).first;
  return found->second ? &*found->second : nullptr;
}

std::optional<CublasLtMatmul::Plan> CublasLtMatmul::plan_or_none(const MatmulShape& shape, Epilogue epilogue,
                                                                 std::uintptr_t alignment) const {
  if (epilogue != Epilogue::kGeluBackward) return make_plan(shape, epilogue, alignment);
  // Two kernels do the same: whatever keeps the library from one is no reason to end a run.
  try {
    return make_plan(shape, epilogue, alignment);
  } catch (const CudaError&) {
  } catch (const OutOfMemoryError&) {
  }
  return std::nullopt;
}

std::optional<CublasLtMatmul::Plan> CublasLtMatmul::make_plan(const MatmulShape& shape, Epilogue epilogue,
                                                              std::uintptr_t alignment) const {
  const MatmulOptions& options = shape.options;
  const cudaDataType_t type = data_type(shape.dtype), out_type = data_type(shape.out_dtype);
  const bool tf32 = tf32_ && shape.dtype == DType::kFloat32 && context_.compute_capability >= 80;
  Plan plan;

  cublasLtMatmulDesc_t desc = nullptr;
  check_lt(cublasLtMatmulDescCreate(&desc, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
           "cublasLtMatmulDescCreate", shape);
  plan.desc = Desc(desc);
  const auto operation = [](bool transpose) -> std::int32_t { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(desc, CUBLASLT_MATMUL_DESC_TRANSA, operation(options.transpose_b), shape);
  set(desc, CUBLASLT_MATMUL_DESC_TRANSB, operation(options.transpose_a), shape);
  // Of an epilogue's operand the search reads the alignment alone, from its address: that of all operands, which is what the
  // plan will be used for. The true address is set for each product.
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
  plan.b = options.transpose_b ? layout(type, shape.k, shape.n) : layout(type, shape.n, shape.k);
  plan.a = options.transpose_a ? layout(type, shape.m, shape.k) : layout(type, shape.k, shape.m);
  plan.out = layout(out_type, shape.n, shape.m);

  cublasLtMatmulPreference_t made = nullptr;
  check_lt(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate", shape);
  const Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_bytes()), shape);
  set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}, shape);
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(made, attribute, static_cast<std::uint32_t>(alignment), shape);
  }
  cublasLtMatmulHeuristicResult_t found{};
  int num_found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_.get(), desc, plan.b.get(), plan.a.get(), plan.out.get(),
                                                               plan.out.get(), made, 1, &found, &num_found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return std::nullopt;
  check_lt(status, "cublasLtMatmulAlgoGetHeuristic", shape);
  // A candidate whose state is another one has no algorithm in it.
  if (num_found == 0 || found.state != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  plan.algo = found.algo;
  plan.workspace_bytes = found.workspaceSize;
  return plan;
}

void CublasLtMatmul::run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape,
                         std::span<std::byte> workspace) {
  const Epilogue epilogue = bias != nullptr ? Epilogue::kBias : Epilogue::kNone;
  const Plan* plan = find_plan(shape, epilogue, alignment_of({out, a, b, bias}));
  if (plan == nullptr) check_lt(CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", shape);
  run(*plan, {out, a, b, epilogue, bias}, shape, workspace);
}

bool CublasLtMatmul::run_with_gelu_backward(void* dinp, const void* dout, const void* weight, const void* hidden,
                                            const MatmulShape& shape, std::span<std::byte> workspace) {
  const int generation = context_.compute_capability / 10;
  const std::uintptr_t alignment = alignment_of({dinp, dout, weight, hidden});
  if (shape.dtype == DType::kFloat32 || (generation != 9 && generation != 10) || shape.n % kGeluWidthMultiple != 0 ||
      alignment < kGeluAlignment) {
    return false;
  }
  const Plan* plan = find_plan(shape, Epilogue::kGeluBackward, alignment);
  if (plan == nullptr) return false;
  run(*plan, {dinp, dout, weight, Epilogue::kGeluBackward, hidden}, shape, workspace);
  return true;
}

void CublasLtMatmul::run(const Plan& plan, const Operands& operands, const MatmulShape& shape, std::span<std::byte> workspace) {
  if (operands.epilogue != Epilogue::kNone) {
    const bool is_bias = operands.epilogue == Epilogue::kBias;
    set(plan.desc.get(), is_bias ? CUBLASLT_MATMUL_DESC_BIAS_POINTER : CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER,
        operands.epilogue_operand, shape);
  }
  VIRGIL_CHECK(plan.workspace_bytes <= workspace.size(), "matmul: {} bytes of workspace are bound, {} are needed",
               workspace.size(), plan.workspace_bytes);
  const float alpha = 1, beta = shape.options.accumulate ? 1.0F : 0.0F;
  check_lt(cublasLtMatmul(handle_.get(), plan.desc.get(), &alpha, operands.b, plan.b.get(), operands.a, plan.a.get(), &beta,
                          operands.out, plan.out.get(), operands.out, plan.out.get(), &plan.algo, workspace.data(),
                          plan.workspace_bytes, context_.stream),
           "cublasLtMatmul", shape);
}

}  // namespace virgil::cuda
