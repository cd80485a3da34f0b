#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "backend/cpu/attention.h"
#include "backend/cpu/attention_backward_sizes.h"
#include "backend/cpu/attention_pair_scratch.h"
#include "backend/cpu/attention_prefetch.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/attention_backward_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

HWY_ATTR void attention_backward_blocks_float32(const AttentionBackwardTask<float>& task, const RowPrefetcher<float>& next,
                                                float* scratch) {
  attention_backward_blocks<AttentionBackwardScratch>(task, next, scratch);
}
HWY_ATTR void attention_backward_blocks_bfloat16(const AttentionBackwardTask<BFloat16>& task,
                                                 const RowPrefetcher<BFloat16>& next, float* scratch) {
#if HWY_TARGET == HWY_AVX3
  if (task.native_bfloat16) return attention_backward_blocks<PairBackwardScratch>(task, next, scratch);
#endif
  attention_backward_blocks<AttentionBackwardScratch>(task, next, scratch);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(attention_backward_blocks);

namespace {

/// Whether heads are divided among threads. A whole head costs five products of tiles; divided, the two passes cost seven
/// together, but all threads share them.
bool divides_heads(std::int64_t heads, std::int64_t blocks, std::int64_t threads) {
  const double whole_heads = 5.0 * static_cast<double>(ceil_div(heads, threads));
  const double divided = 7.0 * static_cast<double>(heads) / static_cast<double>(threads);
  return blocks > 1 && divided < whole_heads;
}

/// Floats of scratch of one thread, the same on all processors.
std::int64_t backward_scratch_floats(const AttentionShape& shape) {
  const std::int64_t floats = AttentionBackwardScratch::count(shape.length, shape.head_size, shape.group());
  if (shape.dtype != DType::kBFloat16) return floats;
  return std::max(floats, PairBackwardScratch::count(shape.length, shape.head_size, shape.group()));
}

/// Operands of the op.
template <typename Element>
struct AttentionBackward {
  Element* dqkv;
  const Element* dout;
  const Element* out;
  const Element* qkv;
  const float* lse;
  AttentionShape shape;
  const Dropout& dropout;
  bool native_bfloat16;

  /// All of the heads that share keys and values; 0 <= group < B * NKV.
  [[nodiscard]] AttentionBackwardTask<Element> task_of(std::int64_t group) const {
    const auto [B, T, NH, HS, dtype, NKV, window] = shape;
    const std::int64_t width = shape.qkv_width();
    const std::int64_t b = group / NKV;
    const std::int64_t kv_head = group % NKV;
    const std::int64_t h = kv_head * shape.group();  // the first of the group
    const std::int64_t row = b * T * width;
    const std::int64_t at_query = row + h * HS;
    const std::int64_t at_key = row + (NH + kv_head) * HS;
    const std::int64_t at_value = row + (NH + NKV + kv_head) * HS;
    const std::int64_t at_out = b * T * NH * HS + h * HS;
    const auto dropout_stride = static_cast<std::uint64_t>(round_up(T, 4));
    const auto dropout_head = static_cast<std::uint64_t>((dropout.first_sequence + b) * NH + h);
    return {.queries = {qkv + at_query, width},
            .out = {out + at_out, NH * HS},
            .dout = {dout + at_out, NH * HS},
            .keys = {qkv + at_key, width},
            .values = {qkv + at_value, width},
            .dqueries = {dqkv + at_query, width},
            .dkeys = {dqkv + at_key, width},
            .dvalues = {dqkv + at_value, width},
            .lse = lse + (b * NH + h) * T,
            .num_heads = shape.group(),
            .length = T,
            .head_size = HS,
            .window = {window},
            .gradients = AttentionGradients::kAll,
            .begin_block = 0,
            .end_block = num_attention_blocks(T),
            .dropout = dropout.enabled() ? &dropout : nullptr,
            .dropout_base = dropout_head * static_cast<std::uint64_t>(T) * dropout_stride,
            .dropout_stride = dropout_stride,
            .native_bfloat16 = native_bfloat16};
  }

  /// Fetches what a group's first head reads and writes.
  [[nodiscard]] RowPrefetcher<Element> prefetcher_of(const AttentionBackwardTask<Element>& task) const {
    RowPrefetcher<Element> prefetcher(shape.length, shape.head_size, causal_rows(shape.length), 8);
    for (const auto& rows : {task.queries, task.keys, task.values, task.out, task.dout}) prefetcher.add_read(rows);
    for (const auto& rows : {task.dqueries, task.dkeys, task.dvalues}) prefetcher.add_write(rows);
    return prefetcher;
  }

  /// Task `item` of parts * 2 tasks for each group: first the keys' and values' gradients, then the queries'.
  [[nodiscard]] AttentionBackwardTask<Element> divided_task(std::int64_t item, std::int64_t parts) const {
    AttentionBackwardTask<Element> task = task_of(item / (2 * parts));
    const std::int64_t blocks = task.end_block;
    const std::int64_t part = item % parts;
    const std::int64_t begin = causal_boundary(blocks, part, parts);
    const std::int64_t end = causal_boundary(blocks, part + 1, parts);
    if (item % (2 * parts) < parts) {
      // The first keys are seen by the most queries: the mirror image of the queries' costs.
      task.gradients = AttentionGradients::kKeysAndValues;
      task.begin_block = blocks - end;
      task.end_block = blocks - begin;
    } else {
      task.gradients = AttentionGradients::kQueries;
      task.begin_block = begin;
      task.end_block = end;
    }
    return task;
  }
};

}  // namespace

std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape, int num_threads) {
  const std::int64_t floats = backward_scratch_floats(shape);
  return checked_multiply(num_threads, checked_multiply(floats, static_cast<std::int64_t>(sizeof(float))));
}

namespace {

template <typename Element>
void run_backward(const AttentionBackward<Element>& op, const CpuContext& context) {
  const auto [B, T, NH, HS, dtype, NKV, window] = op.shape;
  const std::int64_t scratch_floats = backward_scratch_floats(op.shape);
  const auto scratch =
      workspace_as<float>(context, "attention_backward", static_cast<std::size_t>(scratch_floats * context.num_threads));
  const std::int64_t blocks = num_attention_blocks(T);
  const bool divided = divides_heads(B * NKV, blocks, context.num_threads);
  const std::int64_t parts = divided ? parts_per_head(B * NKV, blocks, context.num_threads) : 1;
  const std::int64_t num_items = divided ? B * NKV * parts * 2 : B * NKV;
  parallel_items(num_items, context.num_threads, [&](std::int64_t item) {
    const AttentionBackwardTask<Element> task = divided ? op.divided_task(item, parts) : op.task_of(item);
    if (task.begin_block >= task.end_block) return;
    // Threads take items in turn.
    const std::int64_t next_item = item + context.num_threads;
    RowPrefetcher<Element> next;
    if (!divided && next_item < num_items) next = op.prefetcher_of(op.task_of(next_item));
    VIRGIL_DISPATCH_PAIR(Element, attention_backward_blocks)
    (task, next, scratch.data() + omp_get_thread_num() * scratch_floats);
  });
}

}  // namespace

void run(const ops::AttentionBackward& op, const CpuContext& context) {
  const AttentionShape shape = op.check();
  with_float_type(op.kName, shape.dtype, [&]<typename Element>(Element) {
    run_backward(
        AttentionBackward<Element>{op.dqkv.as<Element>(), op.dout.as<Element>(), op.out.as<Element>(), op.qkv.as<Element>(),
                                   op.lse.as<float>(), shape, op.dropout, context.native_bfloat16},
        context);
  });
}

}  // namespace virgil::cpu
#endif
