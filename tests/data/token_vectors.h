// Ids for tests.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "virgil/data/token_sequence.h"

namespace virgil::test_support {

/// 0, 1, ... size - 1.
inline std::vector<std::int32_t> counting(std::size_t size) {
  std::vector<std::int32_t> tokens(size);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

inline std::vector<std::int32_t> to_vector(const TokenSequence& tokens) {
  std::vector<std::int32_t> ids(tokens.size());
  tokens.copy(0, ids);
  return ids;
}

}  // namespace virgil::test_support
