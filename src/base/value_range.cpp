#include "virgil/base/value_range.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "virgil/base/error.h"

namespace virgil {

namespace {

/// A float type's bits: the magnitudes of finite values, infinity and NaN are ordered as integers.
template <typename Word, Word kInfinity>
struct FloatBits {
  static constexpr Word kMagnitude = static_cast<Word>(~Word{0}) >> 1;

  static Word magnitude(std::span<const std::byte> bytes, std::size_t i) {
    Word word = 0;
    std::memcpy(&word, bytes.data() + i * sizeof(Word), sizeof(Word));
    return word & kMagnitude;
  }
  /// Written so that compilers use vectors: it runs at the speed of memory.
  static Word largest(std::span<const std::byte> bytes) {
    Word found = 0;
    for (std::size_t i = 0; i < bytes.size() / sizeof(Word); ++i) found = std::max(found, magnitude(bytes, i));
    return found;
  }
};

constexpr std::size_t kBlockBytes = std::size_t{1} << 16;

template <typename Word, Word kInfinity>
ValueRange find_range(std::span<const std::byte> bytes, float (*to_float)(Word)) {
  using Bits = FloatBits<Word, kInfinity>;
  ValueRange range;
  range.num_values = static_cast<std::int64_t>(bytes.size() / sizeof(Word));
  Word largest = 0;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBlockBytes) {
    const auto block = bytes.subspan(begin, std::min(kBlockBytes, bytes.size() - begin));
    const Word largest_of_block = Bits::largest(block);
    if (largest_of_block < kInfinity) {
      largest = std::max(largest, largest_of_block);
      continue;
    }
    for (std::size_t i = 0; i < block.size() / sizeof(Word); ++i) {
      const Word magnitude = Bits::magnitude(block, i);
      if (magnitude < kInfinity) {
        largest = std::max(largest, magnitude);
      } else if (range.num_non_finite++ == 0) {
        range.first_non_finite = static_cast<std::int64_t>(begin / sizeof(Word) + i);
      }
    }
  }
  range.max_magnitude = to_float(largest);
  return range;
}

template <typename Float, typename Word>
float value_of(Word bits) {
  return static_cast<float>(std::bit_cast<Float>(bits));
}

}  // namespace

ValueRange find_value_range(DType dtype, std::span<const std::byte> bytes) {
  switch (dtype) {
    case DType::kFloat32:
      return find_range<std::uint32_t, 0x7F800000U>(bytes, value_of<float>);
    case DType::kBFloat16:
      return find_range<std::uint16_t, 0x7F80U>(bytes, value_of<BFloat16>);
    case DType::kFloat16:
      return find_range<std::uint16_t, 0x7C00U>(bytes, value_of<Float16>);
    case DType::kInt32:
      break;
  }
  throw InternalError("the range of floats, of a type that is none");
}

float largest_finite(DType dtype) {
  // Half a unit above the largest value rounds to infinity; the float32 below that bound still rounds to the largest value.
  if (dtype == DType::kBFloat16) return 0x1.FEFFFEp127F;
  if (dtype == DType::kFloat16) return 0x1.FFDFFEp15F;
  return 0x1.FFFFFEp127F;
}

}  // namespace virgil
