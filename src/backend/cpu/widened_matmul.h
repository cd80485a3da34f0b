// A bfloat16 matrix product in float32, for processors without bfloat16 products: operands are widened, which is exact, and the
// result is rounded.
#pragma once

#include <cstdint>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/matmul.h"

namespace virgil::cpu {

class WidenedMatmul {
 public:
  /// `shape` has bfloat16 operands.
  explicit WidenedMatmul(const MatmulShape& shape);
  [[nodiscard]] std::int64_t workspace_bytes(const OneDnnMatmul& matmul) const;
  void run(const OneDnnMatmul& matmul, const MatmulOperands& operands, const CpuContext& context) const;

 private:
  MatmulShape shape_;
  MatmulShape wide_;  // the product in float32
  // The workspace, in this order, and after it the wide product's own.
  std::int64_t a_bytes_, b_bytes_, bias_bytes_, out_bytes_;
};

}  // namespace virgil::cpu
