#include "virgil/dist/communicator.h"

#include <algorithm>

#include "virgil/base/shape.h"

namespace virgil {

namespace {

/// Messages are packed piece by piece, so that the memory for it does not grow with the model: large enough that a network
/// moves them at full speed, small beside the model.
constexpr std::int64_t kStagingElements = std::int64_t{4} << 20;
constexpr std::int64_t kMinPieceElements = std::int64_t{16} << 10;

}  // namespace

CollectiveTicket Communicator::start_all_reduce(TensorView data, DType wire) {
  start_reduce_scatter(data, wire);
  return start_all_gather(data);
}

std::int64_t communicator_piece_elements(int size) { return std::max(kMinPieceElements, kStagingElements / size); }

std::int64_t communicator_staging_bytes(CommunicatorKind kind, int size, DType wire) {
  if (size == 1 || kind == CommunicatorKind::kSingle) return 0;
  // NCCL sums float32 where it lies; MPI's sums are ours, of pieces that have arrived.
  if (kind == CommunicatorKind::kNccl && wire == DType::kFloat32) return 0;
  return checked_multiply(checked_multiply(size, communicator_piece_elements(size)), size_of(DType::kFloat32));
}

}  // namespace virgil
