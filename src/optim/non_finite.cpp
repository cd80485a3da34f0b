#include "virgil/optim/non_finite.h"

#include <cmath>
#include <span>

#include "optim/summed_gradients.h"
#include "virgil/model/sharding.h"

namespace virgil {

namespace {

double read_scalar(Backend& backend, const TensorView& scalar) {
  float value = 0;
  backend.copy_to_host(std::as_writable_bytes(std::span(&value, 1)), scalar);
  return value;
}

/// The first parameter of which a piece that `for_each_piece(first element, count, visit)` shows is not finite.
template <typename ForEachPiece>
std::string find_non_finite(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory,
                            const ForEachPiece& for_each_piece) {
  const TensorView norm = memory.scalar(PlanScalar::kGradientNorm);
  for (const ParameterSpec& spec : plan.parameters().parameters()) {
    bool finite = true;
    for_each_piece(spec.offset, spec.num_elements(), [&](std::int64_t, TensorView piece) {
      backend.run(ops::L2Norm{norm, piece, 1.0F});
      finite = finite && std::isfinite(read_scalar(backend, norm));
    });
    if (!finite) return spec.name;
  }
  return {};
}

}  // namespace

std::string find_non_finite_gradient(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  const FlatTensor gradients = summed_gradients(plan, memory, rank);
  // Outside its part a rank that shards the optimizer holds no sums, only what it summed up itself.
  const bool part_only = plan.parallel().shards_optimizer();
  return find_non_finite(backend, plan, memory, [&](std::int64_t first, std::int64_t count, const auto& visit) {
    if (part_only) {
      gradients.for_each_piece_of_rank(rank, first, count, visit);
    } else {
      gradients.for_each_piece(first, count, visit);
    }
  });
}

std::string find_non_finite_weight(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory, std::int64_t rank) {
  const FlatTensor weights = memory.flat(plan, plan.master_slot(), rank);
  return find_non_finite(backend, plan, memory, [&](std::int64_t first, std::int64_t count, const auto& visit) {
    weights.for_each_piece(first, count, visit);
  });
}

}  // namespace virgil
