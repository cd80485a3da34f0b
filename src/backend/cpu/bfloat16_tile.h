// Small bfloat16 matrix products out of registers, for processors with AVX512-BF16: the inner loops of attention in bfloat16.
//
// The instruction multiplies pairs: operands hold elements 2 p and 2 p + 1 of the summed dimension side by side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "virgil/base/bfloat16.h"

namespace virgil::cpu {

/// out (rows, width) = [out +] a (rows, 2 num_pairs) * b (2 num_pairs, width), summed in float32. Strides count elements. Every
/// row of out and b has room for whole vectors of 16: `width` is rounded up.
struct PairProduct {
  float* out;
  std::ptrdiff_t out_stride;
  const BFloat16* a;
  std::ptrdiff_t a_row_stride;
  std::ptrdiff_t a_pair_stride;  // from one pair of a row to the next
  const BFloat16* b;             // (num_pairs, width, 2)
  std::ptrdiff_t b_pair_stride;  // from one row of pairs to the next
  std::int64_t num_pairs;
  bool accumulate;
};

/// Only where cpu_multiplies_bfloat16(). Subnormal operands and results count as zero.
void multiply_pairs(const PairProduct& product, std::int64_t num_rows, std::int64_t width);

}  // namespace virgil::cpu
