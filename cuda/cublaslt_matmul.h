// Matrix products by cuBLASLt: an algorithm is chosen once for each shape, scratch belongs to the caller.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
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

  /// matmul_workspace_bytes() of the device.
  [[nodiscard]] std::int64_t workspace_bytes() const;
  /// Semantics of Backend::matmul; pointers are the device's, bias may be null.
  void run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape, std::span<std::byte> workspace);
  /// Semantics of Backend::matmul_gelu_backward, in one kernel: the product is multiplied in float32 before it is stored.
  /// False, and nothing is done, where two kernels are the better or the only way; that follows from the GPU, the shape and the
  /// alignment of the pointers, so that a shape keeps its bits:
  ///   - in float32, where the pass over the product costs little beside it;
  ///   - on GPUs other than sm_90 and sm_100 and their kin, where nobody has seen the epilogue win;
  ///   - where widths and addresses do not meet the library's rules, or it has no algorithm with this epilogue.
  [[nodiscard]] bool run_with_gelu_backward(void* dinp, const void* dout, const void* weight, const void* hidden,
                                            const MatmulShape& shape, std::span<std::byte> workspace);

  [[nodiscard]] static std::string library_version();

 private:
  using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
  using Desc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  /// What is done to a product before it is stored, and with what: a bias (n), or the GELU's input (m, n).
  enum class Epilogue : std::uint8_t { kNone, kBias, kGeluBackward };
  struct Operands {
    void* out = nullptr;
    const void* a = nullptr;
    const void* b = nullptr;
    Epilogue epilogue = Epilogue::kNone;
    const void* epilogue_operand = nullptr;
  };
  struct Plan {
    Desc desc;
    Layout a, b, out;
    cublasLtMatmulAlgo_t algo{};
    std::size_t workspace_bytes = 0;
  };
  /// What the choice of an algorithm depends on: sizes, types, transpositions, epilogue, and how the pointers are aligned.
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, int, int, bool, bool, bool, Epilogue, std::uintptr_t>;

  /// The plan of this key, made where it is new; null where the library has no algorithm.
  [[nodiscard]] const Plan* find_plan(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment);
  /// None too for an epilogue that can be done without, whatever failed.
  [[nodiscard]] std::optional<Plan> plan_or_none(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment) const;
  [[nodiscard]] std::optional<Plan> make_plan(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment) const;
  void run(const Plan& plan, const Operands& operands, const MatmulShape& shape, std::span<std::byte> workspace);

  LaunchContext context_;
  bool tf32_;
  Handle handle_;
  std::map<Key, std::optional<Plan>> plans_;
};

}  // namespace virgil::cuda
