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

/// The tile of one query block and one key block: adds its share to the gradients asked for.
template <typename Scratch, typename T>
HWY_INLINE void differentiate_tile(const AttentionBackwardTask<T>& task, const DropoutMask& mask, const Scratch& scratch,
                                   std::int64_t query_block, std::int64_t key_block, RowPrefetcher<T>& next) {
  const std::int64_t query = query_block * kAttentionBlock;
  const std::int64_t key = key_block * kAttentionBlock;
  const TilePlace place{query, key, std::min(kAttentionBlock, task.length - query),
                        std::min(kAttentionBlock, task.length - key)};
  recompute_tile(task, mask, scratch, place, next);
  if (task.gradients != AttentionGradients::kQueries) add_key_gradients(task, scratch, place, query_block > key_block);
  if (task.gradients != AttentionGradients::kKeysAndValues) add_query_gradients(task, scratch, place, key_block > 0);
}

/// The gradient of a block's queries, complete.
template <typename Scratch, typename T>
HWY_INLINE void write_query_gradients(const AttentionBackwardTask<T>& task, const Scratch& scratch, std::int64_t block) {
  const float factor = query_scale(task.head_size) * std::numbers::ln2_v<float>;  // 1 / sqrt(HS)
  const std::int64_t query = block * kAttentionBlock;
  write_gradient(task.dqueries, scratch.dqueries + query * padded_head_size(task.head_size), query,
                 std::min(task.length, query + kAttentionBlock), task.head_size, factor);
}

/// Writes the task's gradients, and fetches the rows of `next` meanwhile. `scratch` has Scratch::count(length, head_size)
/// floats, 64-byte aligned.
template <typename Scratch, typename T>
HWY_INLINE void attention_backward_blocks(const AttentionBackwardTask<T>& task, RowPrefetcher<T> next, float* scratch_data) {
  const std::int64_t HS = task.head_size;
  const std::int64_t length = task.length;
  const std::int64_t blocks = num_attention_blocks(length);
  const Scratch scratch(scratch_data, length, HS);
  const DropoutMask mask(task.dropout != nullptr ? *task.dropout : Dropout{});
  const std::int64_t begin = task.begin_block * kAttentionBlock;
  const std::int64_t end = std::min(length, task.end_block * kAttentionBlock);
  if (task.gradients == AttentionGradients::kQueries) {
    pack_head(task, scratch, begin, end, end);
    for (std::int64_t query_block = task.begin_block; query_block < task.end_block; ++query_block) {
      for (std::int64_t key_block = 0; key_block <= query_block; ++key_block) {
        differentiate_tile(task, mask, scratch, query_block, key_block, next);
      }
      write_query_gradients(task, scratch, query_block);
    }
    return;
  }
  pack_head(task, scratch, begin, length, end);
  for (std::int64_t key_block = task.begin_block; key_block < task.end_block; ++key_block) {
    for (std::int64_t query_block = key_block; query_block < blocks; ++query_block) {
      differentiate_tile(task, mask, scratch, query_block, key_block, next);
    }
    const std::int64_t key = key_block * kAttentionBlock;
    const std::int64_t end_key = std::min(length, key + kAttentionBlock);
    write_gradient(task.dkeys, scratch.dkeys, key, end_key, HS, key_gradient_factor(scratch, HS));
    write_gradient(task.dvalues, scratch.dvalues, key, end_key, HS, 1.0F);
    // The block's queries see no later keys.
    if (task.gradients == AttentionGradients::kAll) write_query_gradients(task, scratch, key_block);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#endif  // include guard
