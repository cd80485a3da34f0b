// Instructions of the tensor cores and their loads, as PTX defines them, on the lanes of a warp.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/sim/simt.h"

namespace virgil::simt {

/// ldmatrix.sync.m8n8.x4[.trans].b16; out has 4 words.
void ldmatrix(std::uint32_t* out, bool transpose, const void* row, Site site);

enum class OperandType : std::uint8_t { kBFloat16, kFloat16 };
/// mma.sync.m16n8k16 with float32 accumulation: products are exact, sums are float32 in the order of k.
void mma_16816(float* d, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1, OperandType type, Site site);

/// Two 16-bit values in one word.
template <typename T>
[[nodiscard]] std::uint32_t pair_bits(T low, T high) {
  static_assert(sizeof(T) == 2);
  return std::bit_cast<std::uint16_t>(low) | static_cast<std::uint32_t>(std::bit_cast<std::uint16_t>(high)) << 16;
}

}  // namespace virgil::simt
