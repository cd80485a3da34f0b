// Philox and dropout in kernels: the functions of virgil/base/philox.h, so that every backend draws the same bits.
#pragma once

#include <cstdint>

#include "cuda/device/gpu.h"
#include "cuda/device/recorded_place.h"
#include "virgil/ops/dropout.h"

namespace virgil::cuda {

/// A dropout site as a kernel takes it.
struct DeviceDropout {
  RandomStream stream;  // its step counts from that of `place`, where there is one
  std::uint32_t threshold = 0;
  float scale = 1;
  std::int64_t first_sequence_offset = 0;  // from that of `place`, where there is one
  const RandomPlace* place = nullptr;      // in device memory; see RecordedPlace
  bool enabled = false;

  DeviceDropout() = default;
  DeviceDropout(const Dropout& dropout, const RecordedPlace& recorded)
      : stream(dropout.stream),
        threshold(dropout.threshold()),
        scale(dropout.scale()),
        first_sequence_offset(dropout.first_sequence),
        place(recorded.now),
        enabled(dropout.enabled()) {
    if (place == nullptr) return;
    stream.step -= recorded.recorded.step;  // modulo 2^32, as it is added again
    first_sequence_offset -= recorded.recorded.first_sequence;
  }

  /// The same without `place`: what it says has been read. For loops, in which reading it again would cost more registers than
  /// the values.
  [[nodiscard]] __device__ __forceinline__ DeviceDropout in_place() const {
    DeviceDropout result = *this;
    result.stream.step = step();
    result.first_sequence_offset = first_sequence();
    result.place = nullptr;
    return result;
  }
  [[nodiscard]] __device__ __forceinline__ std::uint32_t step() const {
    return place == nullptr ? stream.step : stream.step + __ldg(&place->step);
  }
  [[nodiscard]] __device__ __forceinline__ std::int64_t first_sequence() const {
    return place == nullptr ? first_sequence_offset : first_sequence_offset + __ldg(&place->first_sequence);
  }
};

/// The four words of block `block_index` of a stream, at `step` instead of its own.
__device__ __forceinline__ uint4 random_words(const RandomStream& stream, std::uint32_t step, std::uint64_t block_index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(block_index), c1 = static_cast<std::uint32_t>(block_index >> 32);
  std::uint32_t c2 = (static_cast<std::uint32_t>(stream.purpose) << 24) | (stream.site & 0xFFFFFFU), c3 = step;
  std::uint32_t key0 = static_cast<std::uint32_t>(stream.seed), key1 = static_cast<std::uint32_t>(stream.seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(0xD2511F53U, c0), low0 = 0xD2511F53U * c0;
    const std::uint32_t high1 = __umulhi(0xCD9E8D57U, c2), low1 = 0xCD9E8D57U * c2;
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  return make_uint4(c0, c1, c2, c3);
}

__device__ __forceinline__ uint4 random_words(const RandomStream& stream, std::uint64_t block_index) {
  return random_words(stream, stream.step, block_index);
}

/// Factors (0 or the scale) of elements 4 * block_index to 4 * block_index + 3.
__device__ __forceinline__ void dropout_factors(const DeviceDropout& dropout, std::uint64_t block_index, float (&factors)[4]) {
  const uint4 words = random_words(dropout.stream, dropout.step(), block_index);
  factors[0] = words.x >= dropout.threshold ? dropout.scale : 0.0F;
  factors[1] = words.y >= dropout.threshold ? dropout.scale : 0.0F;
  factors[2] = words.z >= dropout.threshold ? dropout.scale : 0.0F;
  factors[3] = words.w >= dropout.threshold ? dropout.scale : 0.0F;
}

/// Factors of elements `element` to element + Width - 1. Width is 1, or a multiple of 4 and then `element` is one too.
template <int Width>
__device__ __forceinline__ void dropout_factors_at(const DeviceDropout& dropout, std::uint64_t element,
                                                   float (&factors)[Width]) {
  float four[4];
  if constexpr (Width == 1) {
    dropout_factors(dropout, element / 4, four);
    const int i = static_cast<int>(element % 4);
    factors[0] = i < 2 ? (i == 0 ? four[0] : four[1]) : (i == 2 ? four[2] : four[3]);  // an index would need local memory
  } else {
    static_assert(Width % 4 == 0);
#pragma unroll
    for (int block = 0; block < Width / 4; ++block) {
      dropout_factors(dropout, element / 4 + static_cast<std::uint64_t>(block), four);
#pragma unroll
      for (int i = 0; i < 4; ++i) factors[4 * block + i] = four[i];
    }
  }
}

/// Number of channel 0 of row b * length + t of a (B, length, channels) tensor; see virgil/ops/dropout.h.
__device__ __forceinline__ std::uint64_t dropout_row_base(const DeviceDropout& dropout, std::int64_t row, std::int64_t length,
                                                          std::int64_t channels) {
  return static_cast<std::uint64_t>(dropout.first_sequence() * length + row) *
         static_cast<std::uint64_t>((channels + 3) / 4 * 4);
}

}  // namespace virgil::cuda
