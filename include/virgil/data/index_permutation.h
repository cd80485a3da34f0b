// A random order of 0 .. size - 1 that needs no memory: any element can be asked for by its place.
#pragma once

#include <cstdint>

namespace virgil {

/// A Feistel network on the smallest even number of bits that holds `size`, with Philox as its round function; results beyond
/// `size` are encrypted again until they fall below it ("cycle walking": Black and Rogaway, "Ciphers with Arbitrary Finite
/// Domains", CT-RSA 2002). A permutation for every (seed, round).
class IndexPermutation {
 public:
  /// size > 0; `round` tells one order from the next, below 2^32.
  IndexPermutation(std::uint64_t size, std::uint64_t seed, std::uint64_t round);
  /// Place `index` of the order, index < size.
  [[nodiscard]] std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t size_;
  std::uint64_t seed_;
  std::uint32_t round_;
  int half_bits_;
};

}  // namespace virgil
