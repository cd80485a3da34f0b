// How rotary positions turn the elements of a head. Plain, so that kernels can include it.
#pragma once

#include <cstdint>

namespace virgil {

inline constexpr int kMaxRotaryPairs = 64;  // of the largest head that attention takes

/// Which two elements of a head turn together, of 2 P that turn.
enum class RotaryPairing : std::uint8_t {
  kHalves,      // j and P + j: GPT-NeoX and transformers
  kNeighbours,  // 2 j and 2 j + 1: Su et al. 2021, GPT-J, Meta's Llama
};

/// Pair j of position p turns by the float32 product p * frequency[j]. The elements behind the pairs stay as they are.
struct RotaryAngles {
  int pairs = 0;  // P, at most half of a head's size
  RotaryPairing pairing = RotaryPairing::kHalves;
  float scale = 1;  // of all that turn: YaRN's factor of attention (Peng et al. 2023)
  float frequency[kMaxRotaryPairs] = {};
};

}  // namespace virgil
