#include <omp.h>

#include "backend/cpu/attend.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/attention_sizes.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "virgil/backend/op_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention_forward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/attention_forward-inl.h"

#if HWY_ONCE
namespace virgil::cpu {

HWY_EXPORT(attend_rows);

void attend(const AttendTask& task, const RowPrefetcher& next, float* scratch) {
  HWY_DYNAMIC_DISPATCH(attend_rows)(task, next, scratch);
}

namespace {

/// Operands of the op; all float32.
struct AttentionForward {
  float* out;
  float* lse;
  const float* qkv;
  AttentionShape shape;
  const Dropout& dropout;

  /// Part `part` of `parts` of a head; 0 <= head < B * NH.
  [[nodiscard]] AttendTask task_of(std::int64_t head, std::int64_t part, std::int64_t parts) const {
    const auto [B, T, NH, HS, dtype] = shape;
    const std::int64_t C = NH * HS;
    const std::int64_t b = head / NH;
    const std::int64_t h = head % NH;
    const std::int64_t blocks = num_attention_blocks(T);
    const float* q = qkv + b * T * 3 * C + h * HS;
    const auto dropout_stride = static_cast<std::uint64_t>(round_up(T, 4));
    const auto dropout_head = static_cast<std::uint64_t>((dropout.first_sequence + b) * NH + h);
    return {.out = {out + b * T * C + h * HS, C},
            .lse = lse + head * T,
            .queries = {q, 3 * C},
            .keys = {q + C, 3 * C},
            .values = {q + 2 * C, 3 * C},
            .first_position = 0,
            .begin_row = causal_boundary(blocks, part, parts) * kAttentionBlock,
            .end_row = std::min(T, causal_boundary(blocks, part + 1, parts) * kAttentionBlock),
            .head_size = HS,
            .dropout = dropout.enabled() ? &dropout : nullptr,
            .dropout_base = dropout_head * static_cast<std::uint64_t>(T) * dropout_stride,
            .dropout_stride = dropout_stride};
  }

  /// Fetches what a whole head reads and writes.
  [[nodiscard]] RowPrefetcher prefetcher_of(const AttendTask& task) const {
    RowPrefetcher prefetcher(shape.length, shape.head_size, causal_rows(shape.length), 4);
    for (const auto& rows : {task.queries, task.keys, task.values}) prefetcher.add_read(rows);
    prefetcher.add_write(task.out);
    return prefetcher;
  }
};

}  // namespace

std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape, int num_threads) {
  const std::int64_t floats = AttendScratch::count(shape.length, shape.head_size);
  return checked_multiply(num_threads, checked_multiply(floats, static_cast<std::int64_t>(sizeof(float))));
}

void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads, const Dropout& dropout,
                       const CpuContext& context) {
  const AttentionShape shape = op_checks::attention("attention_forward", qkv, num_heads, dropout);
  const auto [B, T, NH, HS, dtype] = shape;
  const std::int64_t C = NH * HS;
  op_checks::expect("attention_forward", "qkv", qkv, {B, T, 3 * C}, DType::kFloat32);
  op_checks::expect("attention_forward", "out", out, {B, T, C}, DType::kFloat32);
  op_checks::expect("attention_forward", "lse", lse, {B, NH, T}, DType::kFloat32);
  const std::int64_t scratch_floats = AttendScratch::count(T, HS);
  const auto scratch =
      workspace_as<float>(context, "attention_forward", static_cast<std::size_t>(scratch_floats * context.num_threads));

  const AttentionForward op{out.as<float>(), lse.as<float>(), qkv.as<float>(), shape, dropout};
  const std::int64_t parts = parts_per_head(B * NH, num_attention_blocks(T), context.num_threads);
  const std::int64_t num_items = B * NH * parts;
  parallel_items(num_items, context.num_threads, [&](std::int64_t item) {
    const AttendTask task = op.task_of(item / parts, item % parts, parts);
    if (task.begin_row >= task.end_row) return;
    // Threads take items in turn.
    const std::int64_t next_item = item + context.num_threads;
    RowPrefetcher next;
    if (parts == 1 && next_item < num_items) next = op.prefetcher_of(op.task_of(next_item, 0, 1));
    attend(task, next, scratch.data() + omp_get_thread_num() * scratch_floats);
  });
}

}  // namespace virgil::cpu
#endif
