// Matrix products by cuBLASLt: an algorithm is chosen once for each shape, scratch belongs to the caller.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <tuple>

#include "cuda/device/launch.h"
#include "cuda/handles.h"
#include "virgil/backend/backend.h"

namespace virgil::cuda {

/// Deterministic: algorithms whose partial sums meet in the output are left out, and a shape keeps its algorithm.
class CublasLtMatmul {
 public:
  /// tf32: products of float32 may round their factors to TF32.
  CublasLtMatmul(const LaunchContext& context, bool tf32);

  /// Scratch that every product is given, as NVIDIA recommends for the architecture.
  [[nodiscard]] std::int64_t workspace_bytes() const;
  /// Semantics of Backend::matmul; pointers are the device's, bias may be null.
  void run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape, std::span<std::byte> workspace);

  [[nodiscard]] static std::string library_version();

 private:
  using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
  using Desc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  struct Plan {
    Desc desc;
    Layout a, b, out;
    cublasLtMatmulAlgo_t algo{};
    std::size_t workspace_bytes = 0;
  };
  /// What the choice of an algorithm depends on: sizes, types, transpositions, and how the pointers are aligned.
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, int, int, bool, bool, bool, bool, std::uintptr_t>;

  [[nodiscard]] Plan make_plan(const MatmulShape& shape, std::uintptr_t alignment, const void* bias) const;

  LaunchContext context_;
  bool tf32_;
  Handle handle_;
  std::map<Key, Plan> plans_;
};

}  // namespace virgil::cuda
