// The products of cuBLASLt, computed plainly: column-major operands of any type here, float32 sums in the order of k.
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/sim/capture.h"
#include "cuda/sim/played_device.h"
#include "cuda/sim/race_detector.h"
#include "cuda/sim/simulator.h"
#include "cuda/sim/streams.h"
#include "virgil/base/bfloat16.h"

struct cublasLtContext {};
struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute_type = CUBLAS_COMPUTE_32F;
  std::int32_t transpose_a = CUBLAS_OP_N;
  std::int32_t transpose_b = CUBLAS_OP_N;
  std::int32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  std::int32_t bias_type = -1;
  const void* bias = nullptr;
  const void* aux = nullptr;  // the GELU's input, column-major, of the result's type
  std::int64_t aux_leading_dimension = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type = CUDA_R_32F;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t leading_dimension = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t max_workspace_bytes = 0;
};

namespace virgil::simt {
namespace {

struct Product {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout, d_layout;
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* d = nullptr;
  float alpha = 1;
  float beta = 0;
  std::int64_t algorithm = 0;  // the number of partial sums less one
};

std::int64_t size_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

float element(const void* data, cudaDataType_t type, std::int64_t index) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[index];
  if (type == CUDA_R_16F) return static_cast<float>(static_cast<const Float16*>(data)[index]);
  return static_cast<float>(static_cast<const BFloat16*>(data)[index]);
}

void store(void* data, cudaDataType_t type, std::int64_t index, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[index] = value;
  } else if (type == CUDA_R_16F) {
    static_cast<Float16*>(data)[index] = Float16(value);
  } else {
    static_cast<BFloat16*>(data)[index] = BFloat16(value);
  }
}

/// The lower 13 bits do not count in TF32.
float rounded(float value, cublasComputeType_t type) {
  constexpr std::uint32_t kTf32Bits = 0xFFFFE000U;
  return type == CUBLAS_COMPUTE_32F_FAST_TF32 ? std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & kTf32Bits) : value;
}

void note_matrix(const void* data, const cublasLtMatrixLayoutOpaque_t& layout, Access access) {
  for (std::int64_t col = 0; col < layout.cols; ++col) {
    const auto* begin = static_cast<const std::byte*>(data) + col * layout.leading_dimension * size_of(layout.type);
    race_detector().transfer(begin, static_cast<std::size_t>(layout.rows * size_of(layout.type)), access, "cublasLtMatmul");
  }
}

/// op(matrix) as rows of floats.
std::vector<float> unpacked(const void* data, const cublasLtMatrixLayoutOpaque_t& layout, bool transposed, bool by_columns,
                            cublasComputeType_t type) {
  const std::int64_t rows = transposed ? layout.cols : layout.rows, cols = transposed ? layout.rows : layout.cols;
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::int64_t stored = transposed ? c + r * layout.leading_dimension : r + c * layout.leading_dimension;
      values[static_cast<std::size_t>(by_columns ? c * rows + r : r * cols + c)] =
          rounded(element(data, layout.type, stored), type);
    }
  }
  return values;
}

/// The derivative of the GELU's tanh form.
float gelu_slope(float x) {
  constexpr float kRoot = 0.797884561F;  // sqrt(2 / pi)
  constexpr float kCubic = 0.044715F;
  const float t = std::tanh(kRoot * (x + kCubic * x * x * x));
  return 0.5F * (1 + t) + 0.5F * x * (1 - t * t) * kRoot * (1 + 3 * kCubic * x * x);
}

void run(const Product& p) {
  if (simulator().failed()) return;
  const std::vector<double>& times = played_device().cublaslt_answers.milliseconds;
  if (const auto i = static_cast<std::size_t>(p.algorithm); i < times.size()) played_device().played_ms += times[i];
  if (RaceDetector::enabled()) {
    note_matrix(p.a, p.a_layout, Access::kRead);
    note_matrix(p.b, p.b_layout, Access::kRead);
    if (p.desc.epilogue == CUBLASLT_EPILOGUE_DGELU) {
      auto aux_layout = p.d_layout;
      aux_layout.leading_dimension = p.desc.aux_leading_dimension;
      note_matrix(p.desc.aux, aux_layout, Access::kRead);
    }
    note_matrix(p.d, p.d_layout, Access::kWrite);
  }
  const bool transpose_a = p.desc.transpose_a == CUBLAS_OP_T;
  const std::vector<float> a = unpacked(p.a, p.a_layout, transpose_a, false, p.desc.compute_type);
  const std::vector<float> b = unpacked(p.b, p.b_layout, p.desc.transpose_b == CUBLAS_OP_T, true, p.desc.compute_type);
  const std::int64_t m = p.d_layout.rows, n = p.d_layout.cols;
  const std::int64_t k = transpose_a ? p.a_layout.rows : p.a_layout.cols;
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = 0; i < m; ++i) {
      float sum = 0;
      for (std::int64_t first = 0; first <= p.algorithm; ++first) {
        float part = 0;
        for (std::int64_t l = first; l < k; l += p.algorithm + 1) {
          part += a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(j * k + l)];
        }
        sum += part;
      }
      const std::int64_t index = i + j * p.d_layout.leading_dimension;
      float value = p.alpha * sum;
      if (p.beta != 0) value += p.beta * element(p.c, p.d_layout.type, index);
      if (p.desc.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        value += element(p.desc.bias, static_cast<cudaDataType_t>(p.desc.bias_type), i);
      }
      if (p.desc.epilogue == CUBLASLT_EPILOGUE_DGELU) {
        value *= gelu_slope(element(p.desc.aux, p.d_layout.type, i + j * p.desc.aux_leading_dimension));
      }
      store(p.d, p.d_layout.type, index, value);
    }
  }
}

/// What cublasLtMatmulDescAttributes_t asks of the operand of CUBLASLT_EPILOGUE_DGELU; and whole vectors can be read of it.
bool gelu_input_fits(const cublasLtMatmulDescOpaque_t& desc, const cublasLtMatrixLayoutOpaque_t& d) {
  constexpr std::int64_t kMultiple = 8;
  constexpr std::uintptr_t kAlignment = 16;
  return desc.aux != nullptr && reinterpret_cast<std::uintptr_t>(desc.aux) % kAlignment == 0 &&
         desc.aux_leading_dimension % kMultiple == 0 && desc.aux_leading_dimension >= d.rows;
}

template <typename T>
cublasStatus_t read_value(T& target, const void* value, std::size_t size_bytes) {
  if (size_bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&target, value, sizeof(T));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t answer(int planted) { return static_cast<cublasStatus_t>(planted); }

/// The library's gaps are not documented. These stand for them, by the number of columns: it has no algorithm, or fails, or
/// tells of one that it then calls unusable.
cublasStatus_t refuse_gelu(std::int64_t cols, cublasLtMatmulHeuristicResult_t& result, int& returned) {
  returned = cols == 3 ? 1 : 0;
  result.state = CUBLAS_STATUS_NOT_SUPPORTED;
  return cols == 2 ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace virgil::simt

using namespace virgil::simt;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (const cublasStatus_t planted = answer(played_device().cublaslt_answers.create)) return planted;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
std::size_t cublasLtGetVersion() { return 0; }
const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
  }
  return "unknown";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  if (scale_type != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t{.compute_type = compute_type};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t size_bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return read_value(desc->transpose_a, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return read_value(desc->transpose_b, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return read_value(desc->epilogue, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return read_value(desc->bias, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return read_value(desc->bias_type, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return read_value(desc->aux, value, size_bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return read_value(desc->aux_leading_dimension, value, size_bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows,
                                          std::uint64_t cols, std::int64_t leading_dimension) {
  if (leading_dimension < static_cast<std::int64_t>(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new cublasLtMatrixLayoutOpaque_t{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(cols),
                                             leading_dimension};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t size_bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
    return read_value(preference->max_workspace_bytes, value, size_bytes);
  return size_bytes == sizeof(std::uint32_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t /*a*/, cublasLtMatrixLayout_t /*b*/,
                                              cublasLtMatrixLayout_t /*c*/, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* returned) {
  if (requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  // The library may load code for its choice: that belongs before a capture.
  if (captures().allow_unsafe_call() != cudaSuccess) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (const cublasStatus_t planted = answer(played_device().cublaslt_answers.search)) return planted;
  *results = {};
  *returned = 0;
  if (desc->epilogue == CUBLASLT_EPILOGUE_DGELU) {
    if (!gelu_input_fits(*desc, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    constexpr std::int64_t kFewestColumns = 4;
    if (d->cols < kFewestColumns) return refuse_gelu(d->cols, *results, *returned);
  }
  constexpr std::uint64_t kScratchBytes = 4096;  // which the product below writes over
  const std::vector<double>& times = played_device().cublaslt_answers.milliseconds;
  *returned = std::clamp(static_cast<int>(times.size()), 1, requested);
  for (int i = 0; i < *returned; ++i) {
    results[i] = {};
    results[i].algo.data[0] = static_cast<std::uint64_t>(i);
    results[i].workspaceSize = std::min(preference->max_workspace_bytes, kScratchBytes);
    const bool is_usable = times.empty() || times[static_cast<std::size_t>(i)] >= 0;
    results[i].state = is_usable ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    std::size_t size_bytes, std::size_t* written) {
  const bool is_narrow = attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID || attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  *written = is_narrow ? sizeof(std::uint16_t) : sizeof(std::uint32_t);
  if (size_bytes != *written) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(value, 0, size_bytes);
  if (attribute == CUBLASLT_ALGO_CONFIG_ID) {
    const auto id = static_cast<std::uint32_t>(algo->data[0]);
    std::memcpy(value, &id, sizeof id);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  if (const cublasStatus_t planted = answer(played_device().cublaslt_answers.multiply)) return planted;
  const bool transpose_a = desc->transpose_a == CUBLAS_OP_T, transpose_b = desc->transpose_b == CUBLAS_OP_T;
  const std::int64_t m = transpose_a ? a_layout->cols : a_layout->rows, k = transpose_a ? a_layout->rows : a_layout->cols;
  const std::int64_t n = transpose_b ? b_layout->rows : b_layout->cols;
  const std::int64_t k_of_b = transpose_b ? b_layout->cols : b_layout->rows;
  const bool has_bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (k != k_of_b || d_layout->rows != m || d_layout->cols != n || c_layout->type != d_layout->type || c != d ||
      a_layout->type != b_layout->type || (has_bias && (desc->bias == nullptr || desc->bias_type < 0)) ||
      (desc->epilogue == CUBLASLT_EPILOGUE_DGELU && !gelu_input_fits(*desc, *d_layout))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const Product product{*desc,
                        *a_layout,
                        *b_layout,
                        *d_layout,
                        a,
                        b,
                        c,
                        d,
                        *static_cast<const float*>(alpha),
                        *static_cast<const float*>(beta),
                        static_cast<std::int64_t>(algo->data[0])};
  {
    const Turn turn;
    ++simulator().statistics().products;
  }
  // What the library leaves in its workspace is nobody's to read.
  if (workspace_bytes > 0) cudaMemsetAsync(workspace, 0xFF, workspace_bytes, stream);
  submit_call(stream, [product] { run(product); });
  return CUBLAS_STATUS_SUCCESS;
}
