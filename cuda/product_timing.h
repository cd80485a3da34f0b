// Which of a library's algorithms for a product is the fastest on this GPU, by trying them.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <span>
#include <vector>

#include "cuda/cublaslt_product.h"
#include "cuda/product_choices.h"

namespace virgil::cuda {

/// Runs each candidate some twenty times on the operands themselves, whose output is afterwards what it was before if the
/// product accumulates, and undefined otherwise: the caller runs the product next. Waits for the stream, which is not captured.
/// Of algorithms that take the same time within the clock's doubt the first is taken. A candidate that fails is left out; the
/// first, should all fail.
[[nodiscard]] ProductChoice fastest(const LtProduct& product, const std::vector<ProductAlgorithm>& candidates,
                                    const ProductOperands& operands, std::span<std::byte> workspace, cublasLtHandle_t handle,
                                    cudaStream_t stream);

}  // namespace virgil::cuda
