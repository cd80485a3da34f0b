// Random words and dropout masks with vector instructions: the same bits as random_word and Dropout::multiplier.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_PHILOX_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_PHILOX_SIMD_INL_H_
#undef VIRGIL_PHILOX_SIMD_INL_H_
#else
#define VIRGIL_PHILOX_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "virgil/ops/dropout.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

namespace philox_hn = hwy::HWY_NAMESPACE;

/// The fills write whole groups of up to so many elements: their outputs have room for a multiple of this.
inline constexpr std::size_t kDropoutPad = 32;

/// Words of one stream. Made once per op call and thread, it holds the ten round keys.
class RandomWords {
 public:
  explicit RandomWords(const RandomStream& stream) : stream_(stream) {
    std::array<std::uint32_t, 2> key = philox_key(stream);
    for (RoundKey& round : round_keys_) {
      round = {key[0], key[1]};
      key[0] += 0x9E3779B9U;
      key[1] += 0xBB67AE85U;
    }
  }

  /// out[i] = random_word(stream, base + i) for i in [0, n). base is a multiple of 4. out has room for n rounded up to
  /// kDropoutPad; what lies between n and there may be overwritten.
  HWY_INLINE void fill(std::uint64_t base, std::size_t n, std::uint32_t* HWY_RESTRICT out) const {
#if HWY_TARGET == HWY_SCALAR
    for (std::size_t i = 0; i < n; i += 4) {
      const PhiloxBlock words = random_block(stream_, (base + i) / 4);
      for (std::size_t j = 0; j < 4; ++j) out[i + j] = words[j];
    }
#else
    for_each_group(base, n, [&](std::size_t i, auto d64, auto first, auto second) HWY_ATTR {
      philox_hn::StoreInterleaved2(first, second, d64, reinterpret_cast<std::uint64_t*>(out + i));
    });
#endif
  }

#if HWY_TARGET != HWY_SCALAR
  /// body(i, tag, first, second) for i = 0, 4 L, 8 L, ... below n, L the lanes of the tag: lane b of `first` holds words 0 and
  /// 1 of block base / 4 + i / 4 + b, that of `second` words 2 and 3.
  template <class Body>
  HWY_INLINE void for_each_group(std::uint64_t base, std::size_t n, const Body& body) const {
    const philox_hn::CappedTag<std::uint64_t, kDropoutPad / 4> d64;
    const auto low_half = philox_hn::Set(d64, 0xFFFFFFFFU);
    const std::size_t num_blocks = philox_hn::Lanes(d64);
    auto block = philox_hn::Iota(d64, base / 4);
    for (std::size_t i = 0; i < n; i += 4 * num_blocks) {
      const Words<decltype(block)> words = rounds(d64, block);
      body(i, d64, philox_hn::Or(philox_hn::And(words.c0, low_half), philox_hn::ShiftLeft<32>(words.c1)),
           philox_hn::Or(philox_hn::And(words.c2, low_half), philox_hn::ShiftLeft<32>(words.c3)));
      block = philox_hn::Add(block, philox_hn::Set(d64, num_blocks));
    }
  }
#endif

 private:
  struct RoundKey {
    std::uint64_t k0;
    std::uint64_t k1;
  };

#if HWY_TARGET != HWY_SCALAR
  /// Word w of one Philox block per 64-bit lane, in its lower half; the upper half holds rubbish.
  template <class V>
  struct Words {
    V c0, c1, c2, c3;
  };

  template <class D, class V>
  HWY_INLINE Words<V> rounds(D d, V block_index) const {
    const philox_hn::Repartition<std::uint32_t, D> d32;
    const PhiloxBlock upper = philox_counter(stream_, 0);
    const auto multiplier0 = philox_hn::BitCast(d32, philox_hn::Set(d, 0xD2511F53U));
    const auto multiplier1 = philox_hn::BitCast(d32, philox_hn::Set(d, 0xCD9E8D57U));
    Words<V> c{block_index, philox_hn::ShiftRight<32>(block_index), philox_hn::Set(d, upper[2]), philox_hn::Set(d, upper[3])};
    for (const RoundKey& key : round_keys_) {
      // MulEven multiplies the lower halves of 64-bit lanes, so the rubbish above them never matters.
      const auto product0 = philox_hn::MulEven(philox_hn::BitCast(d32, c.c0), multiplier0);
      const auto product1 = philox_hn::MulEven(philox_hn::BitCast(d32, c.c2), multiplier1);
      const auto k0 = philox_hn::Set(d, key.k0);
      const auto k1 = philox_hn::Set(d, key.k1);
      c = {philox_hn::Xor(philox_hn::Xor(philox_hn::ShiftRight<32>(product1), c.c1), k0), product1,
           philox_hn::Xor(philox_hn::Xor(philox_hn::ShiftRight<32>(product0), c.c3), k1), product0};
    }
    return c;
  }
#endif

  RandomStream stream_;
  std::array<RoundKey, 10> round_keys_;
};

/// The multipliers of one dropout site.
class DropoutMask {
 public:
  explicit DropoutMask(const Dropout& dropout) : dropout_(dropout), words_(dropout.stream) {}

  /// out[i] = dropout.multiplier(base + i), 0 or scale(), for i in [0, n). base is a multiple of 4. out has room for n rounded
  /// up to kDropoutPad; what lies between n and there may be overwritten.
  HWY_INLINE void fill(std::uint64_t base, std::size_t n, float* HWY_RESTRICT out) const {
#if HWY_TARGET == HWY_SCALAR
    const std::uint32_t threshold = dropout_.threshold();
    const float scale = dropout_.scale();
    for (std::size_t i = 0; i < n; i += 4) {
      const PhiloxBlock words = random_block(dropout_.stream, (base + i) / 4);
      for (std::size_t j = 0; j < 4; ++j) out[i + j] = words[j] >= threshold ? scale : 0.0F;
    }
#else
    words_.for_each_group(base, n, [&](std::size_t i, auto d64, auto first, auto second) HWY_ATTR {
      const philox_hn::Repartition<std::uint32_t, decltype(d64)> d32;
      const philox_hn::Repartition<float, decltype(d64)> df;
      const auto threshold = philox_hn::Set(d32, dropout_.threshold());
      const auto scale = philox_hn::Set(df, dropout_.scale());
      const auto multiplier = [&](auto words) HWY_ATTR {
        const auto dropped = philox_hn::RebindMask(df, philox_hn::Lt(philox_hn::BitCast(d32, words), threshold));
        return philox_hn::BitCast(d64, philox_hn::IfThenZeroElse(dropped, scale));
      };
      philox_hn::StoreInterleaved2(multiplier(first), multiplier(second), d64, reinterpret_cast<std::uint64_t*>(out + i));
    });
#endif
  }

 private:
  Dropout dropout_;
  RandomWords words_;
};

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
