// Naive causal self-attention in float64, each value with the bound on its float32 error. Stores the T x T matrix.
//
// For a shape in a 16-bit type, results are those in float32 of operands that the type holds, but probabilities and the
// gradients of scores may be rounded to it before they are multiplied by values, keys and queries.
//
// Written from the formulas in virgil/ops; nothing here is shared with the backends.
#pragma once

#include <cstdint>
#include <vector>

#include "backend_conformance/tracked.h"
#include "virgil/backend/backend.h"

namespace virgil::conformance::reference {

struct AttentionResult {
  std::vector<Tracked> out;  // (B, T, C)
  std::vector<Tracked> lse;  // (B, NH, T)
};
/// qkv (B, T, (NH + 2 NKV) HS), exact.
[[nodiscard]] AttentionResult attention_forward(const std::vector<double>& qkv, const AttentionShape& shape,
                                                const Dropout& dropout);

/// dqkv as qkv. All operands are exact, also out and lse: their errors are not this op's.
[[nodiscard]] std::vector<Tracked> attention_backward(const std::vector<double>& dout, const std::vector<double>& out,
                                                      const std::vector<double>& qkv, const std::vector<double>& lse,
                                                      const AttentionShape& shape, const Dropout& dropout);

}  // namespace virgil::conformance::reference
