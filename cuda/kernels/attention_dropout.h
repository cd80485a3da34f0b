// Which probabilities of a tile of scores are kept, in the numbering of virgil/ops/dropout.h.
//
// Four neighbouring keys of one query share a Philox block. Each block of a tile of tensor-core accumulators is drawn by one
// lane, which hands the other lanes their bits: a shuffle costs far less than ten Philox rounds. Drawing comes before the
// products of a step, while their accumulators need no registers; what is drawn is one word a lane.
#pragma once

#include <cstdint>

#include "cuda/device/gpu.h"
#include "cuda/device/random.h"

namespace virgil::cuda {

/// The blocks of one head of one sequence.
class HeadDropout {
 public:
  __device__ __forceinline__ HeadDropout(const DeviceDropout& dropout, int b, int h, int num_heads, int length)
      : dropout_(dropout), step_(dropout.step()), blocks_per_row_((static_cast<unsigned>(length) + 3) / 4) {
    const auto head = static_cast<std::uint64_t>((dropout.first_sequence() + b) * num_heads + h);
    first_block_ = head * static_cast<unsigned>(length) * blocks_per_row_;
  }

  /// Bit i says whether key + i is kept; key is a multiple of four.
  [[nodiscard]] __device__ __forceinline__ std::uint32_t kept_keys(int query, int key) const {
    const std::uint64_t in_head =
        std::uint64_t{static_cast<unsigned>(query)} * blocks_per_row_ + static_cast<unsigned>(key) / 4;
    const uint4 words = random_words(dropout_.stream, step_, first_block_ + in_head);
    return (words.x >= dropout_.threshold ? 1U : 0U) | (words.y >= dropout_.threshold ? 2U : 0U) |
           (words.z >= dropout_.threshold ? 4U : 0U) | (words.w >= dropout_.threshold ? 8U : 0U);
  }
  [[nodiscard]] __device__ __forceinline__ bool is_kept(int query, int key) const {
    return (kept_keys(query, key & ~3) >> (key & 3) & 1U) != 0;
  }

 private:
  const DeviceDropout& dropout_;
  std::uint32_t step_;
  std::uint64_t first_block_ = 0;
  unsigned blocks_per_row_;
};

/// For accumulators (queries, keys): NT tiles of 16 queries x 8 keys side by side. A lane holds keys 2q, 2q + 1 of queries g
/// and g + 8, and its neighbour the other half of both blocks: the even lane draws g's, the odd lane that of g + 8.
template <int NT>
class KeptKeysInRows {
  static_assert(NT <= 8, "four bits a tile");

 public:
  [[nodiscard]] __device__ __forceinline__ static std::uint32_t draw(const HeadDropout& dropout, int first_query,
                                                                     int first_key) {
    const int lane = lane_id(), group = lane / 4, quad = lane % 4;
    std::uint32_t drawn = 0;
#pragma unroll 2  // a block needs a dozen registers
    for (int n = 0; n < NT; ++n) {
      drawn |= dropout.kept_keys(first_query + group + lane % 2 * 8, first_key + 8 * n + quad / 2 * 4) << (4 * n);
    }
    return drawn;
  }

  /// From what each lane has drawn.
  explicit __device__ __forceinline__ KeptKeysInRows(std::uint32_t drawn) {
    const bool odd = lane_id() % 2 != 0;
    const std::uint32_t other = __shfl_xor_sync(kFullMask, drawn, 1);
    word_[0] = (odd ? other : drawn) >> (odd ? 2 : 0);
    word_[1] = (odd ? drawn : other) >> (odd ? 2 : 0);
  }
  /// Of element i of accumulator tile n.
  [[nodiscard]] __device__ __forceinline__ bool operator()(int n, int i) const {
    return (word_[i / 2] >> (4 * n + i % 2) & 1U) != 0;
  }

 private:
  std::uint32_t word_[2];
};

/// For accumulators (keys, queries). A lane holds keys g and g + 8 of queries 2q, 2q + 1: one key of each of four blocks, which
/// it shares with the three lanes that differ in g % 4; each draws one.
template <int NT>
class KeptKeysInColumns {
  static_assert(NT <= 8, "four bits a tile");

 public:
  [[nodiscard]] __device__ __forceinline__ static std::uint32_t draw(const HeadDropout& dropout, int first_key,
                                                                     int first_query) {
    const int lane = lane_id(), group = lane / 4, quad = lane % 4, member = group % 4;
    std::uint32_t drawn = 0;
#pragma unroll 1  // a block needs a dozen registers, of which the keys' pass has few left
    for (int n = 0; n < NT; ++n) {
      drawn |= dropout.kept_keys(first_query + 8 * n + 2 * quad + member % 2, first_key + group / 4 * 4 + member / 2 * 8)
               << (4 * n);
    }
    return drawn;
  }

  explicit __device__ __forceinline__ KeptKeysInColumns(std::uint32_t drawn) {
    const int lane = lane_id(), member = lane / 4 % 4;
#pragma unroll
    for (int i = 0; i < 4; ++i) word_[i] = __shfl_sync(kFullMask, drawn, (lane & ~12) | (i << 2)) >> member;
  }
  [[nodiscard]] __device__ __forceinline__ bool operator()(int n, int i) const { return (word_[i] >> (4 * n) & 1U) != 0; }

 private:
  std::uint32_t word_[4];
};

}  // namespace virgil::cuda
