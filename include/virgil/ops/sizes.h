// What the checks of ops tell of their operands' sizes.
#pragma once

#include <cstdint>

#include "virgil/base/dtype.h"

namespace virgil::ops {

/// A tensor seen as rows of `channels` elements.
struct RowSizes {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::kFloat32;
};

/// A (B, T, C) tensor.
struct SequenceSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  DType dtype = DType::kFloat32;
};

}  // namespace virgil::ops
