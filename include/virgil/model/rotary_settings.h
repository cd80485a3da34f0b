// How a model's rotary positions are told: a base, how much of a head turns, and how frequencies are stretched for contexts
// longer than those of the training. All of it ends as the frequencies of one op (ops/rotary_angles.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/ops/rotary_angles.h"

namespace virgil {

enum class RotaryScalingKind : std::uint8_t {
  kNone,
  kLinear,   // positions divided by a factor (Chen et al. 2023)
  kDynamic,  // a larger base for contexts beyond block_size ("dynamic NTK"; emozilla, bloc97 2023): none within it
  kYarn,     // high frequencies kept, low ones divided, a ramp between (Peng et al. 2023)
  kLlama3,   // the same by wavelengths, as Llama 3.1 does it
};

struct RotaryScaling {
  RotaryScalingKind kind = RotaryScalingKind::kNone;
  double factor = 1;            // by how much contexts are longer
  std::int64_t original = 0;    // the context that the model was trained with before; 0: block_size
  double low_frequency = 1;     // kLlama3: waves longer than original / low_frequency are stretched,
  double high_frequency = 4;    // and those shorter than original / high_frequency are not
  double beta_fast = 32;        // kYarn: turns within the original context from which on a frequency is kept,
  double beta_slow = 1;         // and below which it is divided
  double attention_factor = 0;  // kYarn: of queries and of keys; 0: 0.1 ln(factor) + 1
  bool whole_pairs = true;      // kYarn: the ramp's ends are rounded to whole pairs

  friend bool operator==(const RotaryScaling&, const RotaryScaling&) = default;
};

/// Whether the kind asks for the original context.
[[nodiscard]] constexpr bool has_original(RotaryScalingKind kind) {
  return kind == RotaryScalingKind::kYarn || kind == RotaryScalingKind::kLlama3;
}

/// "none", or a kind and its numbers: "yarn:factor=4,original=32768".
[[nodiscard]] std::string to_string(const RotaryScaling& scaling);
/// Throws UserError on anything else, or on numbers out of range.
[[nodiscard]] RotaryScaling parse_rotary_scaling(std::string_view text);

struct RotarySettings {
  double theta = 10000;   // the base: pair j of P turns by theta^(-j / P) a position
  std::int64_t size = 0;  // elements of a head that turn, from the first on; 0: all
  RotaryPairing pairing = RotaryPairing::kHalves;
  RotaryScaling scaling = {};

  friend bool operator==(const RotarySettings&, const RotarySettings&) = default;
};

/// The angles of heads of `head_size` in contexts of `block_size` positions.
[[nodiscard]] RotaryAngles rotary_angles(const RotarySettings& settings, std::int64_t head_size, std::int64_t block_size);

}  // namespace virgil
