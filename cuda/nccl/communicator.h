// Collectives between GPUs, on a stream beside the backend's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "cuda/cuda_backend.h"
#include "cuda/handles.h"
#include "cuda/nccl/link.h"
#include "virgil/dist/communicator.h"
#include "virgil/dist/started_collective.h"

namespace virgil::cuda {

/// Two streams, ordered by events alone: a collective's stream waits for what the backend was asked before, and the backend's
/// stream waits for what wait() names. The host waits in finish() only.
///
/// float32 is summed by NCCL. bfloat16 goes straight to the rank that owns the part, piece by piece through the staging, and is
/// added there in order of rank: NCCL would round every partial sum to bfloat16.
class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(CudaBackend& backend, ProcessGroup& group);
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  [[nodiscard]] CommunicatorKind kind() const override { return CommunicatorKind::kNccl; }
  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::string description() const override { return nccl_version_text(nccl_version()); }

  void bind_staging(std::span<std::byte> staging) override;
  CollectiveTicket start_reduce_scatter(TensorView data, DType wire) override;
  CollectiveTicket start_all_gather(TensorView data) override;
  CollectiveTicket start_broadcast(TensorView data, int root) override;
  void wait(CollectiveTicket ticket) override;
  void wait_all() override;
  void finish() override;

 private:
  struct Started {
    StartedCollective collective;
    Event done;
  };

  /// Queues the collective, which `enqueue` puts into the stream.
  template <typename Enqueue>
  CollectiveTicket start(StartedCollective collective, Enqueue&& enqueue);
  void reduce_scatter_bfloat16(TensorView data, const std::string& what);
  /// Row r of `receive` becomes what rank r has in row rank() of its `send`; this rank's own is not touched.
  void exchange_rows(std::byte* send, std::byte* receive, std::int64_t row_elements, std::int64_t count,
                     const std::string& what);

  CudaBackend& backend_;
  int rank_;
  int size_;
  Stream stream_;
  LaunchContext context_;  // the backend's, on stream_
  Event computed_;
  std::span<std::byte> staging_;

  CollectiveTicket num_started_ = 0;
  CollectiveTicket num_waited_ = 0;
  std::deque<Started> under_way_;  // tickets num_waited_ to num_started_
  Started last_waited_;
  std::vector<Event> spare_;
  int exceptions_at_start_ = std::uncaught_exceptions();
  NcclLink link_;  // destroyed before its stream
};

}  // namespace virgil::cuda
