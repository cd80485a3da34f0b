#include "data/bare_ids.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "data/foreign_input.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

/// What the 16-bit words of a file are like, by their place among four.
struct WordLook {
  std::size_t num_groups = 0;                // of four words
  std::array<std::uint16_t, 4> highest{};    // word of that place
  std::array<std::size_t, 4> num_nonzero{};  // words of that place
};

// The beginning, the middle and the end: a file may begin with ids of one kind, such as its rare ones.
WordLook look_at_words(std::span<const std::byte> bytes) {
  constexpr std::size_t kPart = std::size_t{1} << 18;
  constexpr std::size_t kGroup = 8;
  WordLook look;
  const std::size_t groups = bytes.size() / kGroup;
  const auto look_at = [&](std::size_t first, std::size_t last) {
    for (std::size_t group = first; group < last; ++group) {
      std::array<std::uint16_t, 4> words;
      std::memcpy(words.data(), bytes.data() + group * kGroup, kGroup);
      for (std::size_t i = 0; i < 4; ++i) {
        look.highest[i] = std::max(look.highest[i], words[i]);
        look.num_nonzero[i] += words[i] != 0 ? 1 : 0;
      }
    }
    look.num_groups += last - first;
  };
  constexpr std::size_t kGroups = kPart / kGroup;
  if (groups <= 3 * kGroups) {
    look_at(0, groups);
  } else {
    look_at(0, kGroups);
    look_at(groups / 2, groups / 2 + kGroups);
    look_at(groups - kGroups, groups);
  }
  return look;
}

/// Whether the words of these places can be the upper halves of ids, and hardly ids of their own: all zero, or, of a large
/// vocabulary, small beside lower halves that are not.
bool are_upper_halves(const WordLook& look, std::size_t place, std::uint16_t highest_lower) {
  constexpr std::size_t kFewestForZeros = 4;
  constexpr std::size_t kFewestForSmall = 64;
  constexpr std::uint16_t kSmall = 15;  // a million ids
  constexpr std::uint16_t kLarge = 1023;
  if (look.num_nonzero[place] == 0) return look.num_groups >= kFewestForZeros && highest_lower > 0;
  return look.highest[place] <= kSmall && highest_lower > kLarge && look.num_groups >= kFewestForSmall;
}

int look_of_width(std::span<const std::byte> bytes) {
  const WordLook look = look_at_words(bytes);
  const bool four_wide = look.num_nonzero[2] == 0 && look.num_nonzero[3] == 0 && bytes.size() % 8 == 0;
  if (four_wide && are_upper_halves(look, 1, look.highest[0]) && are_upper_halves(look, 3, look.highest[0])) return 64;
  const std::uint16_t lower = std::max(look.highest[0], look.highest[2]);
  const bool two_wide = bytes.size() % 4 == 0 && are_upper_halves(look, 1, lower) && are_upper_halves(look, 3, lower);
  return two_wide ? 32 : 16;
}

}  // namespace

void check_bare_ids(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  const std::string_view start(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kForeignInputBytes));
  if (const auto foreign = describe_foreign_ids(start, path)) {
    throw user_error("{}: is {} (--token_type uint16 takes it for 16-bit ids all the same)", path.string(), *foreign);
  }
  const int width = look_of_width(bytes);
  if (width == 16) return;
  throw user_error(
      "{}: has no header, and its ids look {} bits wide: of every {} numbers of 16 bits only the first is ever large; give "
      "--token_type uint{}, or --token_type uint16 if they are 16 bits wide after all",
      path.string(), width, width / 16, width);
}

}  // namespace virgil
