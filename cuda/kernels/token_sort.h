// Rows in the order of their tokens: what embedding_backward needs to add the rows of a token in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/launch.h"

namespace virgil::cuda {

/// Rows sorted by token, and by number among the rows of a token. All pointers are device memory; the arrays lie in the
/// workspace.
struct TokenRuns {
  std::int64_t rows = 0;
  std::int64_t vocab_rows = 0;
  const std::int32_t* tokens = nullptr;  // (rows), as they came
  const std::int32_t* order = nullptr;   // (rows): row numbers
  const std::int32_t* begins = nullptr;  // (vocab_rows): where in `order` a token's rows begin; unset for one without rows
  const std::int32_t* ends = nullptr;    // (vocab_rows): and end

  /// The token of a row, or vocab_rows for one outside the vocabulary.
  [[nodiscard]] __device__ __forceinline__ std::int64_t key(std::int64_t row) const {
    const std::int32_t token = tokens[row];
    return token >= 0 && token < vocab_rows ? token : vocab_rows;
  }
};

/// rows > 0, below 2^31; the workspace holds SortTiles::scratch_numbers.
[[nodiscard]] TokenRuns sort_tokens(const LaunchContext& context, const std::int32_t* tokens, std::int64_t rows,
                                    std::int64_t vocab_rows, std::span<std::byte> workspace);

}  // namespace virgil::cuda
