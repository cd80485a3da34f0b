#include "virgil/plan/planning_traits.h"

#include "plan/checked_product.h"
#include "virgil/base/shape.h"

namespace virgil {

namespace {

constexpr std::int64_t kFloatBytes = size_of(DType::kFloat32);
constexpr std::int64_t kLibraryBytes = PlanningTraits::kPlanningThreads << 20;  // partial results of a library's threads
constexpr std::int64_t kTile = 64;                                              // rows of an attention tile
constexpr std::int64_t kPieces = 64;                                            // partial sums over rows, at most
constexpr std::int64_t kPieceElements = 4096;

/// A head's queries, keys, values and their gradients in packed form, and some tiles.
std::int64_t head_bytes(const AttentionShape& shape) {
  constexpr std::int64_t kPacked = 7;
  const std::int64_t width = round_up(shape.head_size, kTile);
  return checked_product(
      {PlanningTraits::kPlanningThreads, kPacked, round_up(shape.length, kTile) + 2 * kTile, width, kFloatBytes});
}

}  // namespace

std::int64_t PlanningTraits::matmul_workspace_bytes(const MatmulShape& shape) const {
  const std::int64_t operand = round_up(checked_product({shape.k, shape.n, size_of(shape.dtype)}), alignment_bytes());
  const std::int64_t sums = shape.options.accumulate ? checked_product({shape.m, shape.n, kFloatBytes}) : 0;
  return checked_add(kLibraryBytes, checked_add(operand, round_up(sums, alignment_bytes())));
}

std::int64_t PlanningTraits::attention_forward_workspace_bytes(const AttentionShape& shape) const { return head_bytes(shape); }
std::int64_t PlanningTraits::attention_backward_workspace_bytes(const AttentionShape& shape) const { return head_bytes(shape); }
std::int64_t PlanningTraits::attention_decode_workspace_bytes(const AttentionShape& shape) const { return head_bytes(shape); }

std::int64_t PlanningTraits::norm_backward_workspace_bytes(std::int64_t /*rows*/, std::int64_t channels) const {
  return checked_product({kPieces, 2, channels, kFloatBytes});
}

std::int64_t PlanningTraits::column_sums_workspace_bytes(std::int64_t /*rows*/, std::int64_t channels) const {
  return checked_product({kPieces, channels, kFloatBytes});
}

std::int64_t PlanningTraits::embedding_backward_workspace_bytes(std::int64_t /*rows*/, std::int64_t /*channels*/,
                                                                std::int64_t /*vocab_rows*/) const {
  return 0;
}

std::int64_t PlanningTraits::reduction_workspace_bytes(std::int64_t num_elements) const {
  return checked_product({ceil_div(num_elements, kPieceElements), 2, kFloatBytes});
}

}  // namespace virgil
