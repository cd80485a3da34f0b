// Tiles of 16-bit rows in shared memory, and products of tiles on tensor cores, as attention needs them.
#pragma once

#include <cstdint>

#include "cuda/device/pack.h"
#include "cuda/device/ptx.h"

namespace virgil::cuda {

/// Where the elements of a tile of rows of HS elements lie. ldmatrix reads one 16-byte chunk from each of eight rows: chunks
/// are permuted within a row so that these fall into different banks. Rows of c chunks repeat their banks every 8 / gcd(c, 8)
/// rows, so that many rows share a permutation.
template <int HS>
struct TileLayout {
  static_assert(HS % 16 == 0);
  static constexpr unsigned kChunks = HS / 8;
  static constexpr unsigned kPermuted = kChunks % 8 == 0 ? 8 : (kChunks % 4 == 0 ? 4 : 2);

  __device__ __forceinline__ static unsigned offset(unsigned row, unsigned chunk) {
    return row * HS + (chunk ^ (row / (8 / kPermuted) % kPermuted)) * 8;
  }
};

/// The chunk that a lane names to ldmatrix: chunk `pair` + 0 or 1 of a row of its own. Tiles apart by multiples of eight rows
/// and of two chunks are reached by constants, so that the addresses need few registers.
template <int HS, typename T>
struct FragmentAddress {
  const T* row;
  unsigned chunk;  // times 8, permuted

  __device__ __forceinline__ FragmentAddress(const T* tile, unsigned row_in, unsigned chunk_in)
      : row(tile + row_in * HS), chunk(TileLayout<HS>::offset(row_in, chunk_in) - row_in * HS) {}
  __device__ __forceinline__ const T* at(int rows, int chunks) const {
    return row + (chunk ^ static_cast<unsigned>(8 * chunks)) + rows * HS;
  }
};

/// Copies the rows of a head to shared memory, `Rows` at a time; zeros beyond num_rows and head_size. A thread copies the same
/// chunk of rows that are apart by a multiple of eight, so that all it keeps is where it stands.
template <typename T, int HS, int Rows, int Threads>
class TileReader {
  static constexpr int kChunks = HS / 8, kSlots = kChunks <= 4 ? 4 : (kChunks <= 8 ? 8 : 16), kStep = Threads / kSlots;
  static_assert(Rows % kStep == 0 && kStep % 8 == 0);

 public:
  __device__ __forceinline__ TileReader(const T* rows, std::int64_t row_stride, int num_rows, int head_size)
      : step_stride_(kStep * row_stride) {
    const int row = static_cast<int>(threadIdx.x) / kSlots, chunk = static_cast<int>(threadIdx.x) % kSlots;
    from_ = rows + row * row_stride + chunk * 8;
    rows_left_ = chunk * 8 < head_size ? num_rows - row : 0;
    offset_ = TileLayout<HS>::offset(row, chunk);
  }

  /// Starts the copy of the next rows.
  __device__ __forceinline__ void next(T* tile) {
    const bool has_slot = kChunks == kSlots || static_cast<int>(threadIdx.x) % kSlots < kChunks;
#pragma unroll
    for (int row = 0; row < Rows; row += kStep) {
      if (has_slot) ptx::cp_async_16(tile + offset_ + row * HS, from_, row < rows_left_);
      from_ += step_stride_;
    }
    rows_left_ -= Rows;
  }

 private:
  const T* from_;
  std::int64_t step_stride_;
  int rows_left_;
  unsigned offset_;
};

/// Operand a of a product over HS: 16 rows of a tile for each of RowTiles, from shared memory each time ...
template <int HS, typename T>
struct SharedOperand {
  const T* tile;
  int first_row;  // a multiple of 8

  __device__ __forceinline__ void get(int m, int k, std::uint32_t (&a)[4]) const {
    const unsigned lane = threadIdx.x % kWarpSize;
    ptx::ldmatrix_x4(a, FragmentAddress<HS, T>(tile, first_row + lane % 16, lane / 16).at(16 * m, 2 * k));
  }
};
/// ... or once, where registers allow.
template <int HS, int RowTiles>
struct RegisterOperand {
  std::uint32_t fragments[RowTiles][HS / 16][4];

  template <typename T>
  __device__ __forceinline__ void load(const SharedOperand<HS, T>& from) {
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
      for (int k = 0; k < HS / 16; ++k) from.get(m, k, fragments[m][k]);
    }
  }
  __device__ __forceinline__ void get(int m, int k, std::uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = fragments[m][k][i];
  }
};

/// out (16 RowTiles, 8 NT) = a (16 RowTiles, HS) * b^T, b a tile of 8 NT rows.
template <typename T, int HS, int RowTiles, int NT, typename Operand>
__device__ __forceinline__ void multiply_rows(float (&out)[RowTiles][NT][4], const Operand& a, const T* b) {
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < NT; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[m][n][i] = 0;
    }
  }
  const unsigned lane = threadIdx.x % kWarpSize;
  const FragmentAddress<HS, T> address(b, lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
  for (int k = 0; k < HS / 16; ++k) {
    std::uint32_t a_fragment[RowTiles][4];
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) a.get(m, k, a_fragment[m]);
#pragma unroll
    for (int n = 0; n < NT; n += 2) {
      std::uint32_t b_fragment[4];
      ptx::ldmatrix_x4(b_fragment, address.at(8 * n, 2 * k));
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
        ptx::mma_m16n8k16(out[m][n], a_fragment[m], b_fragment[0], b_fragment[1], T{});
        ptx::mma_m16n8k16(out[m][n + 1], a_fragment[m], b_fragment[2], b_fragment[3], T{});
      }
    }
  }
}

/// out (16 RowTiles, HS) += weights (16 RowTiles, 8 NT), rounded to T, * b, a tile of 8 NT rows.
template <typename T, int HS, int RowTiles, int NT>
__device__ __forceinline__ void accumulate_weighted(float (&out)[RowTiles][HS / 8][4], const float (&weights)[RowTiles][NT][4],
                                                    const T* b) {
  const unsigned lane = threadIdx.x % kWarpSize;
  const FragmentAddress<HS, T> address(b, lane % 16, lane / 16);
#pragma unroll
  for (int k = 0; k < NT / 2; ++k) {
    std::uint32_t a[RowTiles][4];
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) {
      const auto &left = weights[m][2 * k], &right = weights[m][2 * k + 1];
      a[m][0] = ptx::pack_pair(left[0], left[1], T{});
      a[m][1] = ptx::pack_pair(left[2], left[3], T{});
      a[m][2] = ptx::pack_pair(right[0], right[1], T{});
      a[m][3] = ptx::pack_pair(right[2], right[3], T{});
    }
#pragma unroll
    for (int n = 0; n < HS / 8; n += 2) {
      std::uint32_t b_fragment[4];
      ptx::ldmatrix_x4_trans(b_fragment, address.at(16 * k, n));
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
        ptx::mma_m16n8k16(out[m][n], a[m], b_fragment[0], b_fragment[1], T{});
        ptx::mma_m16n8k16(out[m][n + 1], a[m], b_fragment[2], b_fragment[3], T{});
      }
    }
  }
}

/// No weight for keys behind their query. Rows are queries and columns keys, or the other way round; first_row and first_column
/// are positions.
template <bool RowsAreQueries, int RowTiles, int NT>
__device__ __forceinline__ void mask_future(float (&scores)[RowTiles][NT][4], int first_row, int first_column) {
  const int lane_row = first_row + lane_id() / 4, lane_column = first_column + 2 * (lane_id() % 4);
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < NT; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row_distance = lane_column - lane_row, element = 16 * m + 8 * (i / 2) - 8 * n - i % 2;
        if (RowsAreQueries ? row_distance > element : row_distance < element) scores[m][n][i] = -INFINITY;
      }
    }
  }
}

/// No weight for keys that a query does not see: those behind it, and those that have left its window. Rows are queries and
/// columns keys, or the other way round; first_row and first_column are positions.
template <bool RowsAreQueries, int RowTiles, int NT>
__device__ __forceinline__ void mask_unseen(float (&scores)[RowTiles][NT][4], int first_row, int first_column, int window) {
  // How far a key stands before its query, for the lane's first element.
  const int lane_distance = RowsAreQueries ? first_row - first_column + lane_id() / 4 - 2 * (lane_id() % 4)
                                           : first_column - first_row + 2 * (lane_id() % 4) - lane_id() / 4;
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < NT; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int rows = 16 * m + 8 * (i / 2), columns = 8 * n + i % 2;
        const int distance = lane_distance + (RowsAreQueries ? rows - columns : columns - rows);
        // One comparison: as unsigned, a negative distance is larger than any window.
        if (static_cast<unsigned>(distance) >= static_cast<unsigned>(window)) scores[m][n][i] = -INFINITY;
      }
    }
  }
}

/// Rounds a warp's accumulators, rows scaled by factors (g and g + 8 of each 16), and writes them to global memory by way of
/// the warp's own rows of a tile, so that whole 16-byte chunks are written. No other warp may use those rows any more.
template <typename T, int HS, int RowTiles>
__device__ __forceinline__ void store_rows(T* rows, std::int64_t row_stride, int num_rows, int head_size, T* tile,
                                           const float (&values)[RowTiles][HS / 8][4], const float (&factors)[RowTiles][2]) {
  const int lane = lane_id(), first_row = warp_id() * 16 * RowTiles;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < RowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int n = 0; n < HS / 8; ++n) {
        const float factor = factors[m][half];
        *reinterpret_cast<std::uint32_t*>(tile + TileLayout<HS>::offset(first_row + 16 * m + 8 * half + lane / 4, n) +
                                          2 * (lane % 4)) =
            ptx::pack_pair(values[m][n][2 * half] * factor, values[m][n][2 * half + 1] * factor, T{});
      }
    }
  }
  __syncwarp();
  constexpr int kChunks = TileLayout<HS>::kChunks;
#pragma unroll
  for (int first = 0; first < 16 * RowTiles * kChunks; first += kWarpSize) {
    const int i = first + lane, row = first_row + i / kChunks, chunk = i % kChunks;
    if (row < num_rows && chunk * 8 < head_size) {
      store_pack(rows + row * row_stride + chunk * 8, load_pack(tile + TileLayout<HS>::offset(row, chunk)));
    }
  }
}

}  // namespace virgil::cuda
