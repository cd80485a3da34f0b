#include "backend/cpu/dropout_backward.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/dropout_rows.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/dropout_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"
#include "backend/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// out = inp * multiplier for rows first_row to last_row - 1 of (rows, C).
template <typename T>
HWY_INLINE void multiply_by_mask(T* out, const T* inp, std::int64_t first_row, std::int64_t last_row, std::int64_t C,
                                 const Dropout& dropout, const DropoutRows& dropout_rows) {
  constexpr std::int64_t kChunk = 1024;
  HWY_ALIGN float multiplier[kChunk];
  const DropoutMask mask(dropout);
  for (std::int64_t row = first_row; row < last_row; ++row) {
    for (std::int64_t c = 0; c < C; c += kChunk) {
      const auto n = static_cast<std::size_t>(std::min(kChunk, C - c));
      mask.fill(dropout_rows.base(row) + static_cast<std::uint64_t>(c), n, multiplier);
      const std::int64_t first = row * C + c;
      for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR {
        part.store(hn::Mul(part.load(inp + first + i), part.load(multiplier + i)), out + first + i);
      });
    }
  }
}

HWY_ATTR void multiply_by_mask_float32(float* out, const float* inp, std::int64_t first_row, std::int64_t last_row,
                                       std::int64_t C, const Dropout& dropout, const DropoutRows& dropout_rows) {
  multiply_by_mask(out, inp, first_row, last_row, C, dropout, dropout_rows);
}
HWY_ATTR void multiply_by_mask_bfloat16(BFloat16* out, const BFloat16* inp, std::int64_t first_row, std::int64_t last_row,
                                        std::int64_t C, const Dropout& dropout, const DropoutRows& dropout_rows) {
  multiply_by_mask(out, inp, first_row, last_row, C, dropout, dropout_rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(multiply_by_mask);

void run(const ops::DropoutBackward& op, const CpuContext& context) {
  const ops::SequenceSizes sizes = op.check();
  const DropoutRows dropout_rows(op.dropout, sizes.length, sizes.channels);
  with_float_type(op.kName, sizes.dtype, [&]<typename T>(T) {
    parallel_ranges(sizes.batch * sizes.length, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      VIRGIL_DISPATCH_PAIR(T, multiply_by_mask)
      (op.dinp.as<T>(), op.dout.as<T>(), begin, end, sizes.channels, op.dropout, dropout_rows);
    });
  });
}

}  // namespace virgil::cpu
#endif
