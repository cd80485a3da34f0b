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

/// Operands of the op. A group is a pair of sequence and head of keys and values, 0 <= group < S * NKV, with the query heads
/// that attend to it.
template <typename T>
struct AttentionDecode {
  T* out;
  T* k_cache;
  T* v_cache;
  const T* qkv;
  std::int64_t S, n, NH, HS, L, NKV;
  std::int64_t first_position;
  AttentionWindow window;

  [[nodiscard]] std::int64_t num_groups() const { return S * NKV; }
  [[nodiscard]] std::int64_t heads_of_group() const { return NH / NKV; }
  [[nodiscard]] std::int64_t qkv_width() const { return (NH + 2 * NKV) * HS; }
  [[nodiscard]] const T* qkv_row(std::int64_t group, std::int64_t row) const {
    return qkv + (group / NKV * n + row) * qkv_width();
  }
  /// Of the group's first head; the others follow, HS elements each.
  [[nodiscard]] const T* queries(std::int64_t group, std::int64_t row) const {
    return qkv_row(group, row) + group % NKV * heads_of_group() * HS;
  }
  [[nodiscard]] T* out_row(std::int64_t group, std::int64_t row) const {
    return out + (group / NKV * n + row) * NH * HS + group % NKV * heads_of_group() * HS;
  }

  void append(const CpuContext& context) const {
    constexpr std::int64_t kGrain = 64;  // rows; copying fewer is not worth a second thread
    parallel_ranges(num_groups() * n, kGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* key = qkv_row(i / n, i % n) + (NH + i / n % NKV) * HS;
        const std::int64_t to = (i / n * L + first_position + i % n) * HS;
        const auto bytes = static_cast<std::size_t>(HS) * sizeof(T);
        std::memcpy(k_cache + to, key, bytes);
        std::memcpy(v_cache + to, key + NKV * HS, bytes);
      }
    });
  }

  void attend_by_tile(const CpuContext& context) const {
    const std::int64_t scratch_floats = attend_scratch_floats(L, HS, DTypeOf<T>::value);
    const auto scratch =
        workspace_as<float>(context, "attention_decode", static_cast<std::size_t>(scratch_floats * context.num_threads));
    const std::int64_t blocks = num_attention_blocks(n);
    const std::int64_t parts = parts_per_head(num_groups(), blocks, context.num_threads);
    parallel_items(num_groups() * parts, context.num_threads, [&](std::int64_t item) {
      const std::int64_t group = item / parts;
      const std::int64_t part = item % parts;
      const AttendTask<T> task{.out = {out_row(group, 0), NH * HS},
                               .lse = nullptr,
                               .queries = {queries(group, 0), qkv_width()},
                               .keys = {k_cache + group * L * HS, HS},
                               .values = {v_cache + group * L * HS, HS},
                               .num_heads = heads_of_group(),
                               .num_rows = n,
                               .first_position = first_position,
                               .begin_row = blocks * part / parts * kAttentionBlock,
                               .end_row = std::min(n, blocks * (part + 1) / parts * kAttentionBlock),
                               .head_size = HS,
                               .window = window,
                               .dropout = nullptr,
                               .dropout_base = 0,
                               .dropout_stride = 0,
                               .native_bfloat16 = context.native_bfloat16};
      attend(task, RowPrefetcher<T>(), scratch.data() + omp_get_thread_num() * scratch_floats);
    });
  }

  void attend_by_row(const CpuContext& context) const {
    const std::int64_t max_splits = ceil_div(first_position + n, kDecodeSplit);
    const std::int64_t head_floats = max_splits * DecodePartial::count(HS);
    const std::int64_t heads = heads_of_group();
    const auto partials = workspace_as<float>(context, "attention_decode", static_cast<std::size_t>(S * NH * n * head_floats));
    // Partials lie by (group, row, head, split).
    parallel_items(num_groups() * n * max_splits, context.num_threads, [&](std::int64_t item) {
      const std::int64_t row = item / max_splits % n;
      const std::int64_t group = item / max_splits / n;
      const std::int64_t index = item % max_splits;
      const std::int64_t position = first_position + row;
      const std::int64_t begin = std::max(index * kDecodeSplit, window.first_key(position));
      const std::int64_t num_keys = std::min((index + 1) * kDecodeSplit, position + 1) - begin;
      if (num_keys <= 0) return;
      const std::int64_t at = (group * L + begin) * HS;
      // The split's keys and values come from the memory for the first head, and from the cache for the others.
      for (std::int64_t head = 0; head < heads; ++head) {
        const DecodeSplit<T> split{queries(group, row) + head * HS, k_cache + at, v_cache + at, num_keys, HS};
        const std::int64_t place = ((group * n + row) * heads + head) * max_splits + index;
        VIRGIL_DISPATCH_PAIR(T, decode_split)(split, partials.data() + place * DecodePartial::count(HS));
      }
    });
    constexpr std::int64_t kGrain = 16;
    parallel_ranges(num_groups() * n * heads, kGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t row = i / heads % n;
        const std::int64_t first = window.first_key(first_position + row) / kDecodeSplit;
        const std::int64_t num_splits = ceil_div(first_position + row + 1, kDecodeSplit) - first;
        VIRGIL_DISPATCH_PAIR(T, combine_splits)
        (out_row(i / heads / n, row) + i % heads * HS, partials.data() + i * head_floats + first * DecodePartial::count(HS),
         num_splits, HS);
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
                                    .NKV = shape.kv_heads(),
                                    .first_position = op.first_position,
                                    .window = {op.window}};
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
