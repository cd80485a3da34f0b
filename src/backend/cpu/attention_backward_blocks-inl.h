// The order of attention's backward pass over the tiles of a head, in the steps of one kind of scratch.
//
// A Highway header, compiled once per target: include it after hwy/highway.h inside a foreach_target source.
#if defined(VIRGIL_ATTENTION_BACKWARD_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VIRGIL_ATTENTION_BACKWARD_BLOCKS_INL_H_
#undef VIRGIL_ATTENTION_BACKWARD_BLOCKS_INL_H_
#else
#define VIRGIL_ATTENTION_BACKWARD_BLOCKS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <numbers>

#include "backend/cpu/attention_backward-inl.h"
#include "backend/cpu/attention_backward_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

/// The tile of one query block and one key block: adds its share to the gradients asked for. `task` is that of head `head` of
/// the group.
template <typename Scratch, typename T>
HWY_INLINE void differentiate_tile(const AttentionBackwardTask<T>& task, std::int64_t head, const DropoutMask& mask,
                                   const Scratch& scratch, std::int64_t query_block, std::int64_t key_block,
                                   RowPrefetcher<T>& next) {
  const std::int64_t query = query_block * kAttentionBlock;
  const std::int64_t key = key_block * kAttentionBlock;
  const TilePlace place{query, key, std::min(kAttentionBlock, task.length - query),
                        std::min(kAttentionBlock, task.length - key), task.window};
  recompute_tile(task, mask, scratch, place, next);
  if (task.gradients != AttentionGradients::kQueries) {
    add_key_gradients(task, scratch, place, head > 0 || query_block > key_block);
  }
  if (task.gradients != AttentionGradients::kKeysAndValues) {
    add_query_gradients(task, scratch, place, key_block > task.window.first_block(query));
  }
}

/// The gradient of a block's queries, complete.
template <typename Scratch, typename T>
HWY_INLINE void write_query_gradients(const AttentionBackwardTask<T>& task, const Scratch& scratch, std::int64_t block) {
  const float factor = query_scale(task.head_size) * std::numbers::ln2_v<float>;  // 1 / sqrt(HS)
  const std::int64_t query = block * kAttentionBlock;
  write_gradient(task.dqueries, scratch.dqueries + query * padded_head_size(task.head_size), query,
                 std::min(task.length, query + kAttentionBlock), task.head_size, factor);
}

/// The gradients of a block's keys and values, complete.
template <typename Scratch, typename T>
HWY_INLINE void write_key_gradients(const AttentionBackwardTask<T>& task, const Scratch& scratch, std::int64_t block) {
  const std::int64_t key = block * kAttentionBlock;
  const std::int64_t end = std::min(task.length, key + kAttentionBlock);
  const std::int64_t from = summed_offset(task, key);
  write_gradient(task.dkeys, scratch.dkeys + from, key, end, task.head_size, key_gradient_factor(scratch, task.head_size));
  write_gradient(task.dvalues, scratch.dvalues + from, key, end, task.head_size, 1.0F);
}

/// Of one head of the group: its queries' gradients alone, from packed keys.
template <typename Scratch, typename T>
HWY_INLINE void differentiate_queries(const AttentionBackwardTask<T>& task, std::int64_t head, const DropoutMask& mask,
                                      const Scratch& scratch, RowPrefetcher<T>& next) {
  pack_queries(task, scratch, task.begin_block * kAttentionBlock, std::min(task.length, task.end_block * kAttentionBlock));
  for (std::int64_t query_block = task.begin_block; query_block < task.end_block; ++query_block) {
    const std::int64_t first_block = task.window.first_block(query_block * kAttentionBlock);
    for (std::int64_t key_block = first_block; key_block <= query_block; ++key_block) {
      differentiate_tile(task, head, mask, scratch, query_block, key_block, next);
    }
    write_query_gradients(task, scratch, query_block);
  }
}

/// Of one head of the group, from packed keys: its share of the gradients of keys and values, which the last head completes; of
/// its queries too where all are wanted.
template <typename Scratch, typename T>
HWY_INLINE void differentiate_keys(const AttentionBackwardTask<T>& task, std::int64_t head, const DropoutMask& mask,
                                   const Scratch& scratch, RowPrefetcher<T>& next) {
  const std::int64_t blocks = num_attention_blocks(task.length);
  pack_queries(task, scratch, task.begin_block * kAttentionBlock, task.length);
  for (std::int64_t key_block = task.begin_block; key_block < task.end_block; ++key_block) {
    const std::int64_t end_block = task.window.end_query_block(key_block, blocks);
    for (std::int64_t query_block = key_block; query_block < end_block; ++query_block) {
      differentiate_tile(task, head, mask, scratch, query_block, key_block, next);
    }
    if (head + 1 == task.num_heads) write_key_gradients(task, scratch, key_block);
    // The block's queries see no later keys.
    if (task.gradients == AttentionGradients::kAll) write_query_gradients(task, scratch, key_block);
  }
}

/// Writes the task's gradients, and fetches the rows of `next` meanwhile. `scratch` has Scratch::count(length, head_size,
/// num_heads) floats, 64-byte aligned.
template <typename Scratch, typename T>
HWY_INLINE void attention_backward_blocks(const AttentionBackwardTask<T>& task, RowPrefetcher<T> next, float* scratch_data) {
  const Scratch scratch(scratch_data, task.length, task.head_size, task.num_heads);
  const DropoutMask mask(task.dropout != nullptr ? *task.dropout : Dropout{});
  pack_keys_and_values(task, scratch, std::min(task.length, task.end_block * kAttentionBlock));
  for (std::int64_t head = 0; head < task.num_heads; ++head) {
    const AttentionBackwardTask<T> of_head = task.of_head(head);
    if (task.gradients == AttentionGradients::kQueries) {
      differentiate_queries(of_head, head, mask, scratch, next);
    } else {
      differentiate_keys(of_head, head, mask, scratch, next);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
