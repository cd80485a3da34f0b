// Copies rows of q, k and v, float32 or bfloat16, into the float32 layouts that the register tiles read.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_PACK_INL_H_
#undef VIRGIL_ATTENTION_PACK_INL_H_
#else
#define VIRGIL_ATTENTION_PACK_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention_sizes.h"
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// out (rows, padded head size) = scale * rows [begin, end) of `from`, zero in the padding.
template <typename T>
HWY_INLINE void pack_rows(float* HWY_RESTRICT out, const HeadRows<const T>& from, std::int64_t begin, std::int64_t end,
                          std::int64_t head_size, float scale) {
  const FloatTag d;
  const std::int64_t stride = padded_head_size(head_size);
  const auto scales = hn::Set(d, scale);
  for (std::int64_t row = begin; row < end; ++row, out += stride) {
    const T* source = from.row(row);
    for_each_vector(static_cast<std::size_t>(head_size),
                    [&](std::size_t i, auto part) HWY_ATTR { hn::StoreU(hn::Mul(part.load(source + i), scales), d, out + i); });
  }
}

/// Transposes up to 16 rows of L elements (L the lanes of a vector): out[i * kAttentionBlock + r] = rows[r][i], and zero for
/// rows that are not there. Two passes of a four-way interleave.
template <typename T, class Part>
HWY_INLINE void transpose_rows(float* HWY_RESTRICT out, const T* rows, std::int64_t stride, std::int64_t num_rows, Part part) {
  const FloatTag d;
  const std::size_t lanes = hn::Lanes(d);
  HWY_ALIGN float by_four[4][4 * hn::MaxLanes(d)];
  HWY_ALIGN float by_sixteen[16 * hn::MaxLanes(d)];
  const auto load = [&](std::int64_t r) HWY_ATTR { return r < num_rows ? part.load(rows + r * stride) : hn::Zero(d); };
  for (std::int64_t r = 0; r < 4; ++r) {
    hn::StoreInterleaved4(load(r), load(r + 4), load(r + 8), load(r + 12), d, by_four[r]);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    hn::StoreInterleaved4(hn::Load(d, by_four[0] + i * lanes), hn::Load(d, by_four[1] + i * lanes),
                          hn::Load(d, by_four[2] + i * lanes), hn::Load(d, by_four[3] + i * lanes), d,
                          by_sixteen + 4 * i * lanes);
  }
  const hn::CappedTag<float, 16> d16;
  for (std::size_t i = 0; i < lanes; ++i) {
    for (std::size_t r = 0; r < 16; r += hn::Lanes(d16)) {
      hn::StoreU(hn::LoadU(d16, by_sixteen + 16 * i + r), d16, out + i * kAttentionBlock + r);
    }
  }
}

/// out (blocks, padded head size, 64) = the transpose of rows [0, num_rows) block by block; columns past the last row are zero.
template <typename T>
HWY_INLINE void pack_panels(float* HWY_RESTRICT out, const HeadRows<const T>& from, std::int64_t num_rows,
                            std::int64_t head_size) {
  constexpr std::int64_t kRows = 16;
  const std::int64_t panel_elements = kAttentionBlock * padded_head_size(head_size);
  for (std::int64_t row = 0; row < round_up(num_rows, kAttentionBlock); row += kRows) {
    float* panel = out + row / kAttentionBlock * panel_elements + row % kAttentionBlock;
    const T* source = from.row(std::min(row, num_rows - 1));
    for_each_vector(static_cast<std::size_t>(head_size), [&](std::size_t i, auto part) HWY_ATTR {
      transpose_rows(panel + i * kAttentionBlock, source + i, from.stride, num_rows - row, part);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
