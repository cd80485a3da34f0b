#include "backend/cpu/bfloat16_tile.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstring>

// The version of Highway that distributions ship has no such target, so these few functions name theirs.
#define VIRGIL_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

namespace virgil::cpu {

namespace {

constexpr int kRowsOfTile = 6;  // 6 x 4 sums, 4 vectors of b and one of a fit 32 registers
constexpr int kLanes = 16;

VIRGIL_BF16_TARGET inline __m512bh broadcast_pair(const BFloat16* pair) {
  int word = 0;
  std::memcpy(&word, pair, sizeof(word));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(word));
}

VIRGIL_BF16_TARGET inline __m512bh load_pairs(const BFloat16* pairs) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(pairs));
}

template <int kRows, int kVectors>
VIRGIL_BF16_TARGET inline void multiply_register_tile(const PairProduct& p, std::ptrdiff_t first_row,
                                                      std::ptrdiff_t first_column) {
  __m512 sums[kRows][kVectors];
  float* out = p.out + first_row * p.out_stride + first_column;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = p.accumulate ? _mm512_loadu_ps(out + r * p.out_stride + v * kLanes) : _mm512_setzero_ps();
    }
  }
  const BFloat16* a = p.a + first_row * p.a_row_stride;
  const BFloat16* b = p.b + 2 * first_column;
  for (std::int64_t pair = 0; pair < p.num_pairs; ++pair) {
    __m512bh b_row[kVectors];
    for (int v = 0; v < kVectors; ++v) b_row[v] = load_pairs(b + 2 * v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const __m512bh a_pair = broadcast_pair(a + r * p.a_row_stride);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], a_pair, b_row[v]);
    }
    a += p.a_pair_stride;
    b += p.b_pair_stride;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(out + r * p.out_stride + v * kLanes, sums[r][v]);
  }
}

/// As many rows of the product as kVectors wide columns from first_column on.
template <int kVectors>
VIRGIL_BF16_TARGET void multiply_columns(const PairProduct& product, std::int64_t num_rows, std::ptrdiff_t first_column) {
  static_assert(kRowsOfTile == 6);
  std::ptrdiff_t row = 0;
  for (; row + kRowsOfTile <= num_rows; row += kRowsOfTile) multiply_register_tile<6, kVectors>(product, row, first_column);
  switch (num_rows - row) {
    case 5:
      return multiply_register_tile<5, kVectors>(product, row, first_column);
    case 4:
      return multiply_register_tile<4, kVectors>(product, row, first_column);
    case 3:
      return multiply_register_tile<3, kVectors>(product, row, first_column);
    case 2:
      return multiply_register_tile<2, kVectors>(product, row, first_column);
    case 1:
      return multiply_register_tile<1, kVectors>(product, row, first_column);
    default:
      return;
  }
}

}  // namespace

void multiply_pairs(const PairProduct& product, std::int64_t num_rows, std::int64_t width) {
  constexpr std::int64_t kMaxVectors = 4;
  std::int64_t vectors = (width + kLanes - 1) / kLanes;
  std::ptrdiff_t column = 0;
  // Columns go in groups of up to four vectors, as equal as they can be.
  for (std::int64_t groups = (vectors + kMaxVectors - 1) / kMaxVectors; groups > 0; --groups) {
    const std::int64_t group_vectors = (vectors + groups - 1) / groups;
    switch (group_vectors) {
      case 4:
        multiply_columns<4>(product, num_rows, column);
        break;
      case 3:
        multiply_columns<3>(product, num_rows, column);
        break;
      case 2:
        multiply_columns<2>(product, num_rows, column);
        break;
      default:
        multiply_columns<1>(product, num_rows, column);
        break;
    }
    vectors -= group_vectors;
    column += group_vectors * kLanes;
  }
}

}  // namespace virgil::cpu

#endif
