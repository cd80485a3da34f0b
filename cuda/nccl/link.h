// One rank's connection to the others through NCCL, which never waits for them longer than the group's time limit.
#pragma once

#include <nccl.h>

#include <functional>
#include <string>

#include "virgil/dist/process_group.h"

namespace virgil::cuda {

/// "NCCL 2.28.9".
[[nodiscard]] std::string nccl_version_text(int version_code);
[[nodiscard]] int nccl_version();

/// After a rank is lost, or NCCL fails, the connection is aborted: what it has in streams ends without results, and every
/// further use throws what was thrown first.
class NcclLink {
 public:
  /// Connects the group's ranks, of which each has made its GPU current. The group outlives the link. Throws UserError when
  /// NCCL cannot connect them, LostRankError when one does not come.
  explicit NcclLink(ProcessGroup& group);
  /// Waits for the other ranks' destructors where the work in streams is over; aborts when they do not come.
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  /// For NCCL's functions; throws when the connection is aborted.
  [[nodiscard]] ncclComm_t get() const;
  /// `result` is what a function of NCCL has answered. Returns when its work is in its stream.
  void settle(ncclResult_t result, const std::string& what);
  /// The host waits until a stream has reached the event, which was recorded after the work called `what`.
  void wait(cudaEvent_t event, const std::string& what);
  /// Gives up at once. Does not throw.
  void abort(const std::string& why);

 private:
  [[nodiscard]] ncclResult_t state() const;
  /// Returns when `done` is true; looks after NCCL's errors and the other ranks meanwhile.
  void poll(const std::string& what, const std::function<bool()>& done);
  void check_ranks(OutsideWait& wait);
  [[noreturn]] void fail(ncclResult_t result, const std::string& what);
  [[noreturn]] void lose(const std::string& why);
  /// "rank 1 (process 4711 on node2)", or those who may be meant.
  [[nodiscard]] std::string others() const;

  ProcessGroup& group_;
  ncclComm_t comm_ = nullptr;
  bool connected_ = false;
  std::string aborted_because_;
};

}  // namespace virgil::cuda
