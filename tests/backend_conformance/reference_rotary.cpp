#include "backend_conformance/reference_rotary.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace virgil::conformance::reference {

namespace {

std::size_t place(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Sines and cosines may be off by an ulp of 1.
Tracked approximate(double value) { return {value, 0x1.0p-23}; }

}  // namespace

std::vector<Tracked> rotary(const std::vector<double>& inp, const RotarySizes& sizes, const RotaryAngles& angles,
                            std::int64_t first_position, bool back) {
  std::vector<Tracked> out(inp.begin(), inp.end());
  const Tracked scale(static_cast<double>(angles.scale));
  for (std::int64_t row = 0; row < sizes.batch * sizes.length; ++row) {
    const auto position = static_cast<float>(first_position + row % sizes.length);
    for (std::int64_t head = 0; head < sizes.turned_heads; ++head) {
      const std::int64_t first = (row * sizes.heads + head) * sizes.head_size;
      for (int j = 0; j < angles.pairs; ++j) {
        const bool halves = angles.pairing == RotaryPairing::kHalves;
        const std::size_t x = place(first + (halves ? j : 2 * j));
        const std::size_t y = place(first + (halves ? angles.pairs + j : 2 * j + 1));
        const auto angle = static_cast<double>(position * angles.frequency[j]);  // the op's: a float32 product
        const Tracked cosine = approximate(std::cos(angle)) * scale;
        const Tracked sine = approximate(back ? -std::sin(angle) : std::sin(angle)) * scale;
        out[x] = Tracked(inp[x]) * cosine - Tracked(inp[y]) * sine;
        out[y] = Tracked(inp[y]) * cosine + Tracked(inp[x]) * sine;
      }
    }
  }
  return out;
}

}  // namespace virgil::conformance::reference
