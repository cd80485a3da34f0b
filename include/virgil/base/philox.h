// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// A counter-based generator: the numbers are a pure function of (key, counter), so there is no state to save, any thread
// can compute any element, and CPU and GPU give the same bits. Every random number in Virgil is addressed by
// (seed, purpose, site, step, index); resuming at step k needs only k.
#pragma once

#include <array>
#include <cstdint>

namespace virgil {

/// What a number is drawn for. Values are part of the reproducibility contract: never renumber them.
enum class RandomPurpose : std::uint32_t {
  kInit = 1,   // parameter initialisation; site = index in the ParameterLayout
  kBatch = 2,  // which windows of the text a step trains on; index = sequence in the step
  kEmbeddingDropout = 3,
  kAttentionDropout = 4,    // site = layer
  kResidualDropout = 5,     // site = 2 * layer (attention) or 2 * layer + 1 (MLP)
  kSampling = 6,            // token choice while generating; index = token position, site = sample
  kStochasticRounding = 7,  // of AdamW's moments
  kShuffle = 8,             // order of windows in an epoch
  kWeightRounding = 9,      // of weights without a float32 copy
};

/// One family of random numbers: fixed for an op call, indexed by element.
struct RandomStream {
  std::uint64_t seed = 0;
  RandomPurpose purpose = RandomPurpose::kInit;
  std::uint32_t site = 0;  // below 2^24
  std::uint32_t step = 0;
};

using PhiloxBlock = std::array<std::uint32_t, 4>;

/// Ten rounds of Philox4x32.
[[nodiscard]] constexpr PhiloxBlock philox4x32(PhiloxBlock counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

/// Key and upper counter words of a stream; the lower two words are the 64-bit block index.
[[nodiscard]] constexpr std::array<std::uint32_t, 2> philox_key(const RandomStream& stream) {
  return {static_cast<std::uint32_t>(stream.seed), static_cast<std::uint32_t>(stream.seed >> 32)};
}
[[nodiscard]] constexpr PhiloxBlock philox_counter(const RandomStream& stream, std::uint64_t block_index) {
  return {static_cast<std::uint32_t>(block_index), static_cast<std::uint32_t>(block_index >> 32),
          (static_cast<std::uint32_t>(stream.purpose) << 24) | (stream.site & 0xFFFFFFU), stream.step};
}

/// The four 32-bit words of block `block_index`: elements 4 * block_index to 4 * block_index + 3.
[[nodiscard]] constexpr PhiloxBlock random_block(const RandomStream& stream, std::uint64_t block_index) {
  return philox4x32(philox_counter(stream, block_index), philox_key(stream));
}

/// Word number `index` of the stream.
[[nodiscard]] constexpr std::uint32_t random_word(const RandomStream& stream, std::uint64_t index) {
  return random_block(stream, index / 4)[index % 4];
}

/// Uniform in [0, 1) with 24 bits.
[[nodiscard]] constexpr float random_uniform(const RandomStream& stream, std::uint64_t index) {
  return static_cast<float>(random_word(stream, index) >> 8) * 0x1.0p-24F;
}

/// Uniform integer in [0, bound), bound > 0, by the multiply-shift method on 64 random bits (bias below bound / 2^64).
[[nodiscard]] std::uint64_t random_below(const RandomStream& stream, std::uint64_t index, std::uint64_t bound);

/// Standard normal (Box-Muller on block `index / 2`, in double, rounded once to float).
[[nodiscard]] float random_normal(const RandomStream& stream, std::uint64_t index);

}  // namespace virgil
