// Collectives over tensors on the ranks' devices, beside the computation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"

namespace virgil {

/// What moves a collective's bytes.
enum class CommunicatorKind : std::uint8_t {
  kSingle,  // nothing: one process
  kMpi,     // host memory
  kNccl,    // GPU memory
};

/// Names one started collective.
using CollectiveTicket = std::int64_t;

/// A collective over R ranks works on a tensor of R equal parts: part r is elements [r n / R, (r + 1) n / R) of its n, and n is
/// a multiple of R. Every rank starts the same collectives in the same order, with equal sizes.
///
/// A collective that has been started reads what the backend was asked to compute before the start, and runs beside what it is
/// asked after. Until wait() returns its ticket, its tensor must be neither written nor read.
///
/// Sums are float32 additions; for one number of ranks they are the same bits in every run. MPI adds in order of rank; NCCL's
/// order is its own for float32, the same for a tensor's size on one set of machines; summands that travel as bfloat16 are
/// added in order of rank over both, with the same bits.
class Communicator {
 public:
  virtual ~Communicator() = default;

  [[nodiscard]] virtual CommunicatorKind kind() const = 0;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  /// For people: "MPI over host memory", "NCCL 2.28.3".
  [[nodiscard]] virtual std::string description() const = 0;

  /// Lends device memory of communicator_staging_bytes() to all following collectives; the caller owns it and keeps it alive.
  virtual void bind_staging(std::span<std::byte> staging) = 0;

  /// This rank's part of `data` (float32) becomes the sum over all ranks; the other parts become unspecified. Summands travel
  /// as `wire`: float32, or bfloat16, to which each is then rounded first (to nearest).
  virtual CollectiveTicket start_reduce_scatter(TensorView data, DType wire) = 0;
  /// Every part of `data` (any type) becomes what the rank of its number holds in it.
  virtual CollectiveTicket start_all_gather(TensorView data) = 0;
  /// `data` (any type and size) of rank `root` to all.
  virtual CollectiveTicket start_broadcast(TensorView data, int root) = 0;
  /// The sum over all ranks, everywhere: a reduce-scatter and an all-gather, so that it is the same bits as these.
  CollectiveTicket start_all_reduce(TensorView data, DType wire);

  /// What the backend is asked to do from now on comes after this collective. Throws LostRankError when another rank has not
  /// come to it within the group's time limit. The host need not wait for a device's collectives: for those finish() throws.
  virtual void wait(CollectiveTicket ticket) = 0;
  /// The same for all that have been started.
  virtual void wait_all() = 0;
  /// The host waits for the collectives that wait() has been called for, with LostRankError as there. To be called before the
  /// host waits for the backend (copy_to_host, copy_from_host, synchronize), which would wait for a lost rank for ever.
  virtual void finish() {}
};

/// Elements of one part that travel in one message of a collective that packs them.
[[nodiscard]] std::int64_t communicator_piece_elements(int size);

/// Device memory that collectives of `size` ranks pack their messages in.
[[nodiscard]] std::int64_t communicator_staging_bytes(CommunicatorKind kind, int size, DType wire);

}  // namespace virgil
