// A stable radix sort of row numbers by token, 8 bits a pass from the lowest on, as in Knuth, volume 3, section 5.2.5. A pass
//   1. counts the digits of each tile of rows, a block a tile,
//   2. turns the counts, digit by digit and tile by tile, into the places where each tile puts its rows of a digit,
//   3. moves the rows; rows of equal digits keep their order.
// Integers only, so no order of execution shows in the result.
//
// Floor: a few bytes a row and pass, little beside the rows of gradients that the sort serves; its time is that of its
// launches.
#include "cuda/kernels/token_sort.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include "cuda/kernels/piece_sizes.h"

namespace virgil::cuda {

namespace {

constexpr int kThreads = SortTiles::kThreads;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
static_assert(kDigits == SortTiles::kDigits);

std::int64_t rows_per_tile(std::int64_t rows) { return SortTiles::rows(rows); }
std::int64_t num_tiles(std::int64_t rows) { return SortTiles::count(rows); }

struct Pass {
  TokenRuns runs;        // its order: before the pass; null for the rows as they came
  std::int32_t* sorted;  // (rows): the order after it
  std::int32_t* places;  // (digits, tiles)
  std::int64_t tile_rows;
  int shift;  // of the digit in the token

  [[nodiscard]] __device__ __forceinline__ std::int32_t row(std::int64_t i) const {
    return runs.order == nullptr ? static_cast<std::int32_t>(i) : runs.order[i];
  }
  [[nodiscard]] __device__ __forceinline__ int digit(std::int32_t row) const {
    return static_cast<int>(runs.key(row) >> shift) % kDigits;
  }
  [[nodiscard]] __device__ __forceinline__ std::int64_t tile_begin() const { return blockIdx.x * tile_rows; }
  [[nodiscard]] __device__ __forceinline__ std::int64_t tile_end() const {
    return tile_begin() + tile_rows < runs.rows ? tile_begin() + tile_rows : runs.rows;
  }
};

__global__ __launch_bounds__(kThreads) void count_digits_kernel(Pass pass) {
  struct Shared {
    int counts[kDigits];
  };
  auto& shared = static_smem<Shared>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kDigits) shared.counts[thread] = 0;
  __syncthreads();
  for (std::int64_t i = pass.tile_begin() + thread; i < pass.tile_end(); i += kThreads) {
    atomicAdd(&shared.counts[pass.digit(pass.row(i))], 1);
  }
  __syncthreads();
  if (thread < kDigits) pass.places[std::int64_t{thread} * gridDim.x + blockIdx.x] = shared.counts[thread];
}

/// values[i] becomes the sum of the values before it. One block.
__global__ __launch_bounds__(kThreads) void exclusive_sum_kernel(std::int32_t* values, std::int64_t count) {
  struct Shared {
    int warp_sums[kWarps];
  };
  auto& shared = static_smem<Shared>();
  int carry = 0;
  for (std::int64_t first = 0; first < count; first += kThreads) {
    const std::int64_t i = first + threadIdx.x;
    const int value = i < count ? values[i] : 0;
    int inclusive = value;
#pragma unroll
    for (int offset = 1; offset < kWarpSize; offset *= 2) {
      const int below = __shfl_up_sync(kFullMask, inclusive, offset);
      if (lane_id() >= offset) inclusive += below;
    }
    if (lane_id() == kWarpSize - 1) shared.warp_sums[warp_id()] = inclusive;
    __syncthreads();
    int before = carry;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp_id()) before += shared.warp_sums[w];
      carry += shared.warp_sums[w];
    }
    if (i < count) values[i] = before + inclusive - value;
    __syncthreads();  // the sums are written again in the next step
  }
}

__global__ __launch_bounds__(kThreads) void move_rows_kernel(Pass pass) {
  struct Shared {
    std::int32_t next[kDigits];            // place of the tile's next row of each digit
    std::int32_t places[kWarps][kDigits];  // counts of a warp's rows of each digit, then their places
  };
  auto& shared = static_smem<Shared>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kDigits) shared.next[thread] = pass.places[std::int64_t{thread} * gridDim.x + blockIdx.x];
  for (std::int64_t first = pass.tile_begin(); first < pass.tile_end(); first += kThreads) {
    for (int d = lane_id(); d < kDigits; d += kWarpSize) shared.places[warp_id()][d] = 0;
    __syncwarp();
    const std::int64_t i = first + thread;
    const bool present = i < pass.tile_end();
    const std::int32_t row = present ? pass.row(i) : 0;
    const int digit = present ? pass.digit(row) : 0;
    // The lanes of this warp whose rows have the same digit.
    unsigned peers = __ballot_sync(kFullMask, present);
#pragma unroll
    for (int bit = 0; bit < kDigitBits; ++bit) {
      const unsigned ones = __ballot_sync(kFullMask, (digit >> bit) % 2);
      peers &= (digit >> bit) % 2 != 0 ? ones : ~ones;
    }
    const int rank = __popc(peers & ((1U << lane_id()) - 1U));
    if (present && rank == 0) shared.places[warp_id()][digit] = __popc(peers);
    __syncthreads();
    if (thread < kDigits) {
      std::int32_t place = shared.next[thread];
      for (int w = 0; w < kWarps; ++w) {
        const std::int32_t count = shared.places[w][thread];
        shared.places[w][thread] = place;
        place += count;
      }
      shared.next[thread] = place;
    }
    __syncthreads();
    if (present) pass.sorted[shared.places[warp_id()][digit] + rank] = row;
    __syncwarp();  // the warp's counts are cleared in the next step
  }
}

/// begins and ends of the tokens that occur.
__global__ __launch_bounds__(kThreads) void find_runs_kernel(TokenRuns runs, std::int32_t* begins, std::int32_t* ends) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= runs.rows) return;
  const std::int64_t token = runs.key(runs.order[i]);
  if (token >= runs.vocab_rows) return;
  if (i == 0 || runs.key(runs.order[i - 1]) != token) begins[token] = static_cast<std::int32_t>(i);
  if (i + 1 == runs.rows || runs.key(runs.order[i + 1]) != token) ends[token] = static_cast<std::int32_t>(i + 1);
}

}  // namespace

TokenRuns sort_tokens(const LaunchContext& context, const std::int32_t* tokens, std::int64_t rows, std::int64_t vocab_rows,
                      std::span<std::byte> workspace) {
  if (rows > 0x7FFFFFFF) throw std::logic_error("sort_tokens: " + std::to_string(rows) + " rows do not fit int32");
  const std::int64_t tiles = num_tiles(rows);
  auto* orders = workspace_as<std::int32_t>(workspace, SortTiles::scratch_numbers(rows, vocab_rows));
  std::int32_t* begins = orders + 2 * rows;
  std::int32_t* ends = begins + vocab_rows;
  std::int32_t* places = ends + vocab_rows;
  TokenRuns runs{rows, vocab_rows, tokens, nullptr, begins, ends};
  // Keys go up to vocab_rows, which stands for all tokens outside the vocabulary.
  for (int shift = 0; shift == 0 || (vocab_rows >> shift) > 0; shift += kDigitBits) {
    std::int32_t* sorted = runs.order == orders ? orders + rows : orders;
    const Pass pass{runs, sorted, places, rows_per_tile(rows), shift};
    launch(context, static_cast<unsigned>(tiles), kThreads, 0, count_digits_kernel, pass);
    launch(context, 1, kThreads, 0, exclusive_sum_kernel, places, kDigits * tiles);
    launch(context, static_cast<unsigned>(tiles), kThreads, 0, move_rows_kernel, pass);
    runs.order = sorted;
  }
  launch(context, blocks_for(rows, kThreads), kThreads, 0, find_runs_kernel, runs, begins, ends);
  return runs;
}

}  // namespace virgil::cuda
