// Small matrix products out of registers: the inner loops of attention.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_REGISTER_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_REGISTER_TILE_INL_H_
#undef VIRGIL_REGISTER_TILE_INL_H_
#else
#define VIRGIL_REGISTER_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

namespace tile_hn = hwy::HWY_NAMESPACE;

/// Rows and vectors of the tile of sums held in registers: kTileRows * kTileVectors sums, kTileVectors loads and one broadcast
/// must fit the register file, 32 vectors with AVX-512 and NEON, else 16.
inline constexpr int kTileRows = 6;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kTileVectors = 4;
#else
inline constexpr int kTileVectors = 2;
#endif

/// out (rows, width) = [out +] a (rows, depth) * b (depth, width). a is read with any two strides (a transposed a is free), b
/// and out are row-major; all strides count elements. Every row of b and out has room for whole vectors: `width` is rounded up.
struct TileProduct {
  float* out;
  std::ptrdiff_t out_stride;
  const float* a;
  std::ptrdiff_t a_row_stride;
  std::ptrdiff_t a_depth_stride;
  const float* b;
  std::ptrdiff_t b_stride;
  std::int64_t depth;
  bool accumulate;
};

template <int kRows, int kVectors>
HWY_INLINE void multiply_register_tile(const TileProduct& product, std::ptrdiff_t first_row, std::ptrdiff_t first_column) {
  const tile_hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::ptrdiff_t>(tile_hn::Lanes(d));
  tile_hn::Vec<decltype(d)> sums[kRows][kVectors];
  float* out = product.out + first_row * product.out_stride + first_column;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = product.accumulate ? tile_hn::LoadU(d, out + r * product.out_stride + v * lanes) : tile_hn::Zero(d);
    }
  }
  const float* a = product.a + first_row * product.a_row_stride;
  const float* b = product.b + first_column;
  for (std::int64_t k = 0; k < product.depth; ++k) {
    tile_hn::Vec<decltype(d)> b_row[kVectors];
    for (int v = 0; v < kVectors; ++v) b_row[v] = tile_hn::LoadU(d, b + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      const auto a_element = tile_hn::Set(d, a[r * product.a_row_stride]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = tile_hn::MulAdd(a_element, b_row[v], sums[r][v]);
    }
    a += product.a_depth_stride;
    b += product.b_stride;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) tile_hn::StoreU(sums[r][v], d, out + r * product.out_stride + v * lanes);
  }
}

/// As many rows of the product as kVectors wide columns from first_column on.
template <int kVectors>
HWY_ATTR HWY_NOINLINE void multiply_columns(const TileProduct& product, std::int64_t num_rows, std::ptrdiff_t first_column) {
  static_assert(kTileRows == 6);
  std::ptrdiff_t row = 0;
  for (; row + kTileRows <= num_rows; row += kTileRows) multiply_register_tile<6, kVectors>(product, row, first_column);
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

/// The whole product. Columns go in groups of up to kTileVectors vectors, as equal as they can be.
HWY_INLINE void multiply_tile(const TileProduct& product, std::int64_t num_rows, std::int64_t width) {
  const auto lanes = static_cast<std::int64_t>(tile_hn::Lanes(tile_hn::ScalableTag<float>()));
  std::int64_t vectors = (width + lanes - 1) / lanes;
  std::int64_t groups = (vectors + kTileVectors - 1) / kTileVectors;
  std::ptrdiff_t column = 0;
  for (; groups > 0; --groups) {
    const std::int64_t group_vectors = (vectors + groups - 1) / groups;
    switch (group_vectors) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
      case 4:
        multiply_columns<4>(product, num_rows, column);
        break;
      case 3:
        multiply_columns<3>(product, num_rows, column);
        break;
#endif
      case 2:
        multiply_columns<2>(product, num_rows, column);
        break;
      default:
        multiply_columns<1>(product, num_rows, column);
        break;
    }
    vectors -= group_vectors;
    column += group_vectors * lanes;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
