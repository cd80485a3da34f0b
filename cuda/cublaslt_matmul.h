// Matrix products by cuBLASLt: an algorithm is chosen once for each shape, scratch belongs to the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/cublaslt_product.h"
#include "cuda/device/launch.h"
#include "cuda/product_choices.h"
#include "virgil/backend/backend.h"

namespace virgil::cuda {

/// Deterministic: algorithms whose partial sums meet in the output are left out, and a shape keeps its algorithm.
class CublasLtMatmul {
 public:
  struct Options {
    bool tf32 = false;            // products of float32 may round their factors to TF32
    ProductChoices choices = {};  // the algorithms that earlier runs chose; a product without one gets the library's first
    bool times_new = false;       // instead, the candidates of such a product are timed, and the fastest is kept
  };
  CublasLtMatmul(const LaunchContext& context, Options options);

  /// matmul_workspace_bytes() of the device.
  [[nodiscard]] std::int64_t workspace_bytes() const;
  /// Semantics of Backend::matmul; pointers are the device's, bias may be null. The first product of a shape may wait for the
  /// device, to time the library's candidates; not while the stream is captured.
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
  struct Plan {
    LtProduct product;
    ProductAlgorithm algorithm;
  };
  /// What the choice of an algorithm depends on: sizes, types, transpositions, epilogue, and how the pointers are aligned.
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, int, int, bool, bool, bool, Epilogue, std::uintptr_t>;

  /// The plan of this key, made where it is new; null where the library has no algorithm.
  [[nodiscard]] const Plan* find_plan(const MatmulShape& shape, const ProductOperands& operands, std::uintptr_t alignment,
                                      std::span<std::byte> workspace);
  [[nodiscard]] std::optional<Plan> make_plan(const MatmulShape& shape, const ProductOperands& operands,
                                              std::uintptr_t alignment, std::span<std::byte> workspace);
  /// Of candidates, of which there is at least one. `name` is the product's among the choices.
  [[nodiscard]] const ProductAlgorithm& choose(const LtProduct& product, const std::vector<ProductAlgorithm>& candidates,
                                               const std::string& name, const ProductOperands& operands,
                                               std::span<std::byte> workspace);
  [[nodiscard]] static Key key_of(const MatmulShape& shape, Epilogue epilogue, std::uintptr_t alignment);
  void run(const Plan& plan, const ProductOperands& operands, std::span<std::byte> workspace) const;

  LaunchContext context_;
  Options options_;
  LtHandle handle_;
  std::map<Key, std::optional<Plan>> plans_;
};

}  // namespace virgil::cuda
