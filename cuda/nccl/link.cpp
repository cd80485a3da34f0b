#include "cuda/nccl/link.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "cuda/device/launch.h"

namespace virgil::cuda {

namespace {

/// So long the host looks without a pause: NCCL takes tens of microseconds to queue a collective, and a pause, however short it
/// was asked for, costs some 70 us of the time in which the next kernels are to be queued.
constexpr std::chrono::microseconds kBusyTime(100);
/// Then, between two looks at what is waited for: short beside a training step, long beside the look.
constexpr std::chrono::microseconds kPause(20);
/// Between two looks at the other ranks, which most waits do not come to.
constexpr std::chrono::milliseconds kCheckInterval(20);

/// Rank 0's id, or why there is none.
struct IdMessage {
  ncclUniqueId id{};
  int result = ncclSuccess;
};

ncclUniqueId shared_id(ProcessGroup& group) {
  IdMessage message;
  if (group.is_root()) message.result = ncclGetUniqueId(&message.id);
  group.broadcast(std::as_writable_bytes(std::span(&message, 1)), 0);
  if (message.result != ncclSuccess) {
    throw user_error("NCCL finds no network interface for {} to listen on: {}; run with NCCL_DEBUG=INFO to see why",
                     group.name_of(0), ncclGetErrorString(static_cast<ncclResult_t>(message.result)));
  }
  return message.id;
}

}  // namespace

std::string nccl_version_text(int version_code) {
  // NCCL_VERSION of nccl.h, for 2.9 and later.
  return fmt::format("NCCL {}.{}.{}", version_code / 10000, version_code / 100 % 100, version_code % 100);
}

int nccl_version() {
  int version = 0;
  ncclGetVersion(&version);
  return version;
}

NcclLink::NcclLink(ProcessGroup& group) : group_(group) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclUniqueId id = shared_id(group);
  const ncclResult_t result = ncclCommInitRankConfig(&comm_, group.size(), id, group.rank(), &config);
  settle(result, "connecting through NCCL");
  connected_ = true;
}

NcclLink::~NcclLink() {
  if (comm_ == nullptr) return;
  try {
    settle(ncclCommFinalize(comm_), "disconnecting");
    if (ncclCommDestroy(comm_) == ncclSuccess) comm_ = nullptr;
  } catch (const std::exception&) {  // it is aborted
  }
  abort("it is destroyed");
}

ncclComm_t NcclLink::get() const {
  if (comm_ == nullptr) throw LostRankError(aborted_because_);
  return comm_;
}

void NcclLink::settle(ncclResult_t result, const std::string& what) {
  if (result == ncclSuccess) return;
  if (result != ncclInProgress) fail(result, what);
  poll(what, [this] { return state() == ncclSuccess; });
}

void NcclLink::wait(cudaEvent_t event, const std::string& what) {
  static_cast<void>(get());
  poll(what, [event] {
    const cudaError_t result = cudaEventQuery(event);
    if (result != cudaErrorNotReady) check(result, "cudaEventQuery");
    return result == cudaSuccess;
  });
}

void NcclLink::abort(const std::string& why) {
  if (comm_ == nullptr) return;
  aborted_because_ = why;
  static_cast<void>(ncclCommAbort(std::exchange(comm_, nullptr)));
}

ncclResult_t NcclLink::state() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t result = ncclCommGetAsyncError(comm_, &state);
  return result == ncclSuccess ? state : result;
}

void NcclLink::poll(const std::string& what, const std::function<bool()>& done) {
  std::unique_ptr<OutsideWait> wait;
  const auto start = std::chrono::steady_clock::now();
  auto next_check = start + kCheckInterval;
  while (!done()) {
    const ncclResult_t result = state();
    if (result != ncclSuccess && result != ncclInProgress) fail(result, what);
    const auto now = std::chrono::steady_clock::now();
    if (now > next_check) {
      if (wait == nullptr) wait = group_.wait_outside(fmt::format("NCCL ({})", what), group_.timeout());
      check_ranks(*wait);
      next_check = std::chrono::steady_clock::now() + kCheckInterval;
    }
    if (now - start > kBusyTime) std::this_thread::sleep_for(kPause);
  }
}

void NcclLink::check_ranks(OutsideWait& wait) {
  try {
    wait.check();
  } catch (const std::exception& error) {
    abort(error.what());
    throw;
  }
}

void NcclLink::fail(ncclResult_t result, const std::string& what) {
  const std::string detail = comm_ != nullptr ? ncclGetLastError(comm_) : ncclGetLastError(nullptr);
  const std::string problem = fmt::format("{}{}{}", ncclGetErrorString(result), detail.empty() ? "" : ": ", detail);
  if (result == ncclRemoteError) {
    lose(fmt::format("rank {} has lost {} in {}: {}", group_.rank(), others(), what, problem));
  }
  abort(problem);
  if (!connected_) {
    throw user_error("NCCL cannot connect the {} ranks: {}; run with NCCL_DEBUG=INFO to see why", group_.size(), problem);
  }
  throw Error(fmt::format("rank {}: {} failed: {}", group_.rank(), what, problem));
}

void NcclLink::lose(const std::string& why) {
  abort(why);
  throw LostRankError(why);
}

std::string NcclLink::others() const {
  constexpr int kMostNames = 8;
  if (group_.size() > kMostNames) return fmt::format("one of {} other ranks", group_.size() - 1);
  std::string names;
  for (int r = 0; r < group_.size(); ++r) {
    if (r != group_.rank()) names += fmt::format("{}{}", names.empty() ? "" : " or ", group_.name_of(r));
  }
  return names;
}

}  // namespace virgil::cuda
