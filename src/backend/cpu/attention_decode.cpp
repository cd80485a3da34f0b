#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "backend/cpu/attend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/attention_decode_sizes.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention_decode.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/attention_decode-inl.h"

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(decode_split);
VIRGIL_EXPORT_PAIR(combine_splits);

namespace {

/// Operands of the op. A head is a pair of sequence and head, 0 <= head < S * NH.
template <typename T>
struct AttentionDecode {
  T* out;
  T* k_cache;
  T* v_cache;
  const T* qkv;
  std::int64_t S, n, NH, HS, L;
  std::int64_t first_position;

  [[nodiscard]] std::int64_t num_heads() const { return S * NH; }
  [[nodiscard]] const T* query(std::int64_t head, std::int64_t row) const {
    return qkv + (head / NH * n + row) * 3 * NH * HS + head % NH * HS;
  }
  [[nodiscard]] T* out_row(std::int64_t head, std::int64_t row) const {
    return out + (head / NH * n + row) * NH * HS + head % NH * HS;
  }

  void append(const CpuContext& context) const {
    constexpr std::int64_t kGrain = 64;  // rows; copying fewer is not worth a second thread
    parallel_ranges(num_heads() * n, kGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* q = query(i / n, i % n);
        const std::int64_t to = (i / n * L + first_position + i % n) * HS;
        const auto bytes = static_cast<std::size_t>(HS) * sizeof(T);
        std::memcpy(k_cache + to, q + NH * HS, bytes);
        std::memcpy(v_cache + to, q + 2 * NH * HS, bytes);
      }
    });
  }

  void attend_by_tile(const CpuContext& context) const {
    const std::int64_t scratch_floats = attend_scratch_floats(L, HS, DTypeOf<T>::value);
    const auto scratch =
        workspace_as<float>(context, "attention_decode", static_cast<std::size_t>(scratch_floats * context.num_threads));
    const std::int64_t blocks = num_attention_blocks(n);
    const std::int64_t parts = parts_per_head(num_heads(), blocks, context.num_threads);
    parallel_items(num_heads() * parts, context.num_threads, [&](std::int64_t item) {
      const std::int64_t head = item / parts;
      const std::int64_t part = item % parts;
      const AttendTask<T> task{.out = {out_row(head, 0), NH * HS},
                               .lse = nullptr,
                               .queries = {query(head, 0), 3 * NH * HS},
                               .keys = {k_cache + head * L * HS, HS},
                               .values = {v_cache + head * L * HS, HS},
                               .first_position = first_position,
                               .begin_row = blocks * part / parts * kAttentionBlock,
                               .end_row = std::min(n, blocks * (part + 1) / parts * kAttentionBlock),
                               .head_size = HS,
                               .dropout = nullptr,
                               .dropout_base = 0,
                               .dropout_stride = 0,
                               .native_bfloat16 = context.native_bfloat16};
      attend(task, RowPrefetcher<T>(), scratch.data() + omp_get_thread_num() * scratch_floats);
    });
  }

  void attend_by_row(const CpuContext& context) const {
    const std::int64_t max_splits = ceil_div(first_position + n, kDecodeSplit);
    const std::int64_t row_floats = max_splits * DecodePartial::count(HS);
    const auto partials =
        workspace_as<float>(context, "attention_decode", static_cast<std::size_t>(num_heads() * n * row_floats));
    parallel_items(num_heads() * n * max_splits, context.num_threads, [&](std::int64_t item) {
      const std::int64_t row = item / max_splits % n;
      const std::int64_t head = item / max_splits / n;
      const std::int64_t begin = item % max_splits * kDecodeSplit;
      const std::int64_t num_keys = std::min(kDecodeSplit, first_position + row + 1 - begin);
      if (num_keys <= 0) return;
      const std::int64_t at = (head * L + begin) * HS;
      const DecodeSplit<T> split{query(head, row), k_cache + at, v_cache + at, num_keys, HS};
      VIRGIL_DISPATCH_PAIR(T, decode_split)(split, partials.data() + item * DecodePartial::count(HS));
    });
    constexpr std::int64_t kGrain = 16;
    parallel_ranges(num_heads() * n, kGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t num_splits = ceil_div(first_position + i % n + 1, kDecodeSplit);
        VIRGIL_DISPATCH_PAIR(T, combine_splits)(out_row(i / n, i % n), partials.data() + i * row_floats, num_splits, HS);
      }
    });
  }
};

}  // namespace

std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape, int num_threads) {
  const std::int64_t by_tile = checked_multiply(num_threads, attend_scratch_floats(shape.length, shape.head_size, shape.dtype));
  const std::int64_t rows = checked_multiply(checked_multiply(shape.batch, shape.num_heads), kDecodeTiledRows - 1);
  const std::int64_t row_floats = ceil_div(shape.length, kDecodeSplit) * DecodePartial::count(shape.head_size);
  return checked_multiply(std::max(by_tile, checked_multiply(rows, row_floats)), static_cast<std::int64_t>(sizeof(float)));
}

void run(const ops::AttentionDecode& op, const CpuContext& context) {
  const AttentionShape shape = op.check();
  refuse_grouped_heads(op.kName, shape);
  with_float_type(op.kName, shape.dtype, [&]<typename T>(T) {
    const AttentionDecode<T> decode{.out = op.out.as<T>(),
                                    .k_cache = op.k_cache.as<T>(),
                                    .v_cache = op.v_cache.as<T>(),
                                    .qkv = op.qkv.as<T>(),
                                    .S = shape.batch,
                                    .n = shape.length,
                                    .NH = shape.num_heads,
                                    .HS = shape.head_size,
                                    .L = op.k_cache.shape()[2],
                                    .first_position = op.first_position};
    decode.append(context);
    if (shape.length >= kDecodeTiledRows) {
      decode.attend_by_tile(context);
    } else {
      decode.attend_by_row(context);
    }
  });
}

}  // namespace virgil::cpu
#endif
