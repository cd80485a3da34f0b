// A text to learn from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "virgil/base/philox.h"

namespace virgil::test_support {

/// Words of a small language, with characters of two bytes; a pure function of `seed`.
inline std::string tiny_text(std::size_t num_bytes = 6000, std::uint64_t seed = 1) {
  constexpr const char* kWords[] = {"ba ", "codi ", "fumi ", "lèno ", "rasto ", "tà\n"};
  const RandomStream stream{seed, RandomPurpose::kShuffle, 0, 0};
  std::string text;
  for (std::uint64_t i = 0; text.size() < num_bytes; ++i) text += kWords[random_below(stream, i, 6)];
  return text;
}

}  // namespace virgil::test_support
