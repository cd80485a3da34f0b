#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/attention_sizes.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention_forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/attention_forward_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

HWY_ATTR void attend_rows_float32(const AttendTask<float>& task, const RowPrefetcher<float>& next, float* scratch) {
  attend_rows<AttendScratch>(task, next, scratch);
}
HWY_ATTR void attend_rows_bfloat16(const AttendTask<BFloat16>& task, const RowPrefetcher<BFloat16>& next, float* scratch) {
#if HWY_TARGET == HWY_AVX3
  if (task.native_bfloat16) return attend_rows<PairAttendScratch>(task, next, scratch);
#endif
  attend_rows<AttendScratch>(task, next, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(attend_rows);

template <typename T>
void attend(const AttendTask<T>& task, const RowPrefetcher<T>& next, float* scratch) {
  VIRGIL_DISPATCH_PAIR(T, attend_rows)(task, next, scratch);
}

template void attend(const AttendTask<float>&, const RowPrefetcher<float>&, float*);
template void attend(const AttendTask<BFloat16>&, const RowPrefetcher<BFloat16>&, float*);

namespace {

/// Operands of the op.
template <typename Element>
struct AttentionForward {
  Element* out;
  float* lse;
  const Element* qkv;
  AttentionShape shape;
  const Dropout& dropout;
  bool native_bfloat16;

  /// Part `part` of `parts` of the heads that share keys and values; 0 <= group < B * NKV.
  [[nodiscard]] AttendTask<Element> task_of(std::int64_t group, std::int64_t part, std::int64_t parts) const {
    const auto [B, T, NH, HS, dtype, NKV, window] = shape;
    const std::int64_t width = shape.qkv_width();
    const std::int64_t b = group / NKV;
    const std::int64_t kv_head = group % NKV;
    const std::int64_t h = kv_head * shape.group();  // the first of the group
    const std::int64_t blocks = num_attention_blocks(T);
    const Element* rows = qkv + b * T * width;
    const auto dropout_stride = static_cast<std::uint64_t>(round_up(T, 4));
    const auto dropout_head = static_cast<std::uint64_t>((dropout.first_sequence + b) * NH + h);
    return {.out = {out + b * T * NH * HS + h * HS, NH * HS},
            .lse = lse + (b * NH + h) * T,
            .queries = {rows + h * HS, width},
            .keys = {rows + (NH + kv_head) * HS, width},
            .values = {rows + (NH + NKV + kv_head) * HS, width},
            .num_heads = shape.group(),
            .num_rows = T,
            .first_position = 0,
            .begin_row = causal_boundary(blocks, part, parts) * kAttentionBlock,
            .end_row = std::min(T, causal_boundary(blocks, part + 1, parts) * kAttentionBlock),
            .head_size = HS,
            .window = {window},
            .dropout = dropout.enabled() ? &dropout : nullptr,
            .dropout_base = dropout_head * static_cast<std::uint64_t>(T) * dropout_stride,
            .dropout_stride = dropout_stride,
            .native_bfloat16 = native_bfloat16};
  }

  /// Fetches what a group's first head reads and writes.
  [[nodiscard]] RowPrefetcher<Element> prefetcher_of(const AttendTask<Element>& task) const {
    RowPrefetcher<Element> prefetcher(shape.length, shape.head_size, causal_rows(shape.length), 4);
    for (const auto& rows : {task.queries, task.keys, task.values}) prefetcher.add_read(rows);
    prefetcher.add_write(task.out);
    return prefetcher;
  }
};

}  // namespace

std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape, int num_threads) {
  const std::int64_t floats = attend_scratch_floats(shape.length, shape.head_size, shape.dtype);
  return checked_multiply(num_threads, checked_multiply(floats, static_cast<std::int64_t>(sizeof(float))));
}

namespace {

template <typename Element>
void run_forward(const AttentionForward<Element>& op, const CpuContext& context) {
  const auto [B, T, NH, HS, dtype, NKV, window] = op.shape;
  const std::int64_t scratch_floats = attend_scratch_floats(T, HS, dtype);
  const auto scratch =
      workspace_as<float>(context, "attention_forward", static_cast<std::size_t>(scratch_floats * context.num_threads));
  const std::int64_t parts = parts_per_head(B * NKV, num_attention_blocks(T), context.num_threads);
  const std::int64_t num_items = B * NKV * parts;
  parallel_items(num_items, context.num_threads, [&](std::int64_t item) {
    const AttendTask<Element> task = op.task_of(item / parts, item % parts, parts);
    if (task.begin_row >= task.end_row) return;
    // Threads take items in turn.
    const std::int64_t next_item = item + context.num_threads;
    RowPrefetcher<Element> next;
    if (parts == 1 && next_item < num_items) next = op.prefetcher_of(op.task_of(next_item, 0, 1));
    attend(task, next, scratch.data() + omp_get_thread_num() * scratch_floats);
  });
}

}  // namespace

void run(const ops::AttentionForward& op, const CpuContext& context) {
  const AttentionShape shape = op.check();
  with_float_type(op.kName, shape.dtype, [&]<typename Element>(Element) {
    run_forward(AttentionForward<Element>{op.out.as<Element>(), op.lse.as<float>(), op.qkv.as<Element>(), shape, op.dropout,
                                          context.native_bfloat16},
                context);
  });
}

}  // namespace virgil::cpu
#endif
