// One product as cuBLASLt sees it: its description, the algorithms that the library offers for it, and running it by one.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuda/handles.h"
#include "cuda/product_choices.h"
#include "virgil/backend/backend.h"

namespace virgil::cuda {

using LtHandle = Owned<cublasLtHandle_t, cublasLtDestroy>;

/// Throws CudaError where the library cannot be set up; of cudaErrorMemoryAllocation where it has no memory.
[[nodiscard]] LtHandle make_lt_handle();

/// What is done to a product before it is stored, and with what: a bias (n), or the GELU's input (m, n).
enum class Epilogue : std::uint8_t { kNone, kBias, kGeluBackward };

struct ProductOperands {
  void* out = nullptr;
  const void* a = nullptr;
  const void* b = nullptr;
  Epilogue epilogue = Epilogue::kNone;
  const void* epilogue_operand = nullptr;
};

struct ProductAlgorithm {
  cublasLtMatmulAlgo_t algo{};
  std::size_t workspace_bytes = 0;
  AlgorithmSettings settings{};
};

/// Functions throw OutOfMemoryError where the library's own allocation fails, and CudaError for its other failures, both naming
/// the product.
class LtProduct {
 public:
  /// Operands are aligned to `alignment` bytes. tf32: factors may be rounded to TF32.
  LtProduct(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment, bool tf32);

  /// At most kMostCandidates that give the same bits every time and take no more scratch than this, no two with the same
  /// settings, the library's favourite first. Empty where it has none for the product.
  [[nodiscard]] std::vector<ProductAlgorithm> candidates(cublasLtHandle_t handle, std::int64_t max_workspace_bytes) const;
  /// out = product, or out += product where the shape accumulates.
  void run(cublasLtHandle_t handle, const ProductAlgorithm& algorithm, const ProductOperands& operands,
           std::span<std::byte> workspace, cudaStream_t stream) const;
  [[nodiscard]] const MatmulShape& shape() const { return shape_; }

  static constexpr int kMostCandidates = 8;

 private:
  using Desc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  MatmulShape shape_;
  std::uintptr_t alignment_;
  Desc desc_;
  Layout a_, b_, out_;
};

}  // namespace virgil::cuda
