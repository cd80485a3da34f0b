#include "virgil/data/index_permutation.h"

#include <bit>
#include <limits>

#include "virgil/base/error.h"
#include "virgil/base/philox.h"

namespace virgil {
namespace {

// Four rounds of a good round function make a strong pseudo-random permutation (Luby and Rackoff, 1988); small domains want
// more.
constexpr std::uint32_t kNumRounds = 8;

}  // namespace

IndexPermutation::IndexPermutation(std::uint64_t size, std::uint64_t seed, std::uint64_t round)
    : size_(size),
      seed_(seed),
      round_(static_cast<std::uint32_t>(round)),
      half_bits_((static_cast<int>(std::bit_width(size - 1)) + 1) / 2) {
  VIRGIL_CHECK(size > 0 && size < (std::uint64_t{1} << 62) && round <= std::numeric_limits<std::uint32_t>::max(),
               "size {}, round {}", size, round);
}

std::uint64_t IndexPermutation::operator()(std::uint64_t index) const {
  VIRGIL_CHECK(index < size_, "index {} of {}", index, size_);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  do {
    std::uint64_t left = index >> half_bits_;
    std::uint64_t right = index & mask;
    for (std::uint32_t i = 0; i < kNumRounds; ++i) {
      const PhiloxBlock block = random_block({seed_, RandomPurpose::kShuffle, i, round_}, right);
      const std::uint64_t mixed = left ^ (((std::uint64_t{block[1]} << 32) | block[0]) & mask);
      left = right;
      right = mixed;
    }
    index = (left << half_bits_) | right;
  } while (index >= size_);
  return index;
}

}  // namespace virgil
