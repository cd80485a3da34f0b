#include "cuda/nccl/communicator.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "cuda/kernels/convert.h"
#include "cuda/kernels/rank_sum.h"
#include "cuda/nccl/rank_devices.h"
#include "virgil/dist/nccl_communicator.h"

namespace virgil {

namespace cuda {

namespace {

constexpr auto kBFloat16Bytes = static_cast<std::int64_t>(sizeof(BFloat16));

LaunchContext on_stream(LaunchContext context, cudaStream_t stream) {
  context.stream = stream;
  return context;
}

}  // namespace

NcclCommunicator::NcclCommunicator(CudaBackend& backend, ProcessGroup& group)
    : backend_(backend),
      rank_(group.rank()),
      size_(group.size()),
      stream_(make_urgent_stream()),
      context_(on_stream(backend.launch_context(), stream_.get())),
      computed_(make_event()),
      link_(group) {}

NcclCommunicator::~NcclCommunicator() {
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    link_.abort("an exception is on its way");
    return;
  }
  try {
    wait_all();
    finish();
  } catch (const std::exception& error) {
    link_.abort(error.what());
  }
}

void NcclCommunicator::bind_staging(std::span<std::byte> staging) { staging_ = staging; }

template <typename Enqueue>
CollectiveTicket NcclCommunicator::start(StartedCollective collective, Enqueue&& enqueue) {
  collective.number = num_started_;
  check(cudaEventRecord(computed_.get(), backend_.launch_context().stream), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_.get(), computed_.get(), 0), "cudaStreamWaitEvent");
  if (collective.size_bytes > 0) enqueue(to_string(collective));
  if (spare_.empty()) spare_.push_back(make_event());
  under_way_.push_back({collective, std::move(spare_.back())});
  spare_.pop_back();
  check(cudaEventRecord(under_way_.back().done.get(), stream_.get()), "cudaEventRecord");
  return num_started_++;
}

CollectiveTicket NcclCommunicator::start_reduce_scatter(TensorView data, DType wire) {
  const StartedCollective collective = check_reduce_scatter(data, wire, size_);
  return start(collective, [&](const std::string& what) {
    if (size_ == 1) return;
    if (wire == DType::kBFloat16) return reduce_scatter_bfloat16(data, what);
    auto* values = data.as<float>();
    const std::int64_t part = data.num_elements() / size_;
    link_.settle(ncclReduceScatter(values, values + rank_ * part, static_cast<std::size_t>(part), ncclFloat32, ncclSum,
                                   link_.get(), stream_.get()),
                 what);
  });
}

void NcclCommunicator::reduce_scatter_bfloat16(TensorView data, const std::string& what) {
  const std::int64_t needed = communicator_staging_bytes(kind(), size_, DType::kBFloat16);
  VIRGIL_CHECK(std::ssize(staging_) >= needed, "{}: {} bytes of staging are bound, {} are needed", what, staging_.size(),
               needed);
  // Rows of whole packs: each starts at a 16-byte boundary.
  constexpr std::int64_t kPack = 8;
  const std::int64_t row_elements = communicator_piece_elements(size_) / kPack * kPack;
  std::byte* const send = staging_.data();
  std::byte* const receive = send + size_ * row_elements * kBFloat16Bytes;
  auto* values = data.as<float>();
  const std::int64_t part = data.num_elements() / size_;
  for (std::int64_t first = 0; first < part; first += row_elements) {
    const std::int64_t count = std::min(row_elements, part - first);
    for (int r = 0; r < size_; ++r) {
      std::byte* const row = (r == rank_ ? receive : send) + r * row_elements * kBFloat16Bytes;
      cuda::convert(context_, DType::kBFloat16, row, DType::kFloat32, values + r * part + first, count);
    }
    exchange_rows(send, receive, row_elements, count, what);
    sum_of_ranks(context_, values + rank_ * part + first, receive, count, row_elements, size_);
  }
}

void NcclCommunicator::exchange_rows(std::byte* send, std::byte* receive, std::int64_t row_elements, std::int64_t count,
                                     const std::string& what) {
  ncclComm_t comm = link_.get();
  ncclResult_t result = ncclGroupStart();
  const auto note = [&](ncclResult_t next) {
    if (result == ncclSuccess || result == ncclInProgress) result = next;
  };
  const auto elements = static_cast<std::size_t>(count);
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    const std::int64_t offset = r * row_elements * kBFloat16Bytes;
    note(ncclSend(send + offset, elements, ncclBfloat16, r, comm, stream_.get()));
    note(ncclRecv(receive + offset, elements, ncclBfloat16, r, comm, stream_.get()));
  }
  note(ncclGroupEnd());
  link_.settle(result, what);
}

CollectiveTicket NcclCommunicator::start_all_gather(TensorView data) {
  const StartedCollective collective = check_all_gather(data, size_);
  return start(collective, [&](const std::string& what) {
    auto* bytes = static_cast<std::byte*>(data.data());
    const std::int64_t part_bytes = collective.size_bytes / size_;
    link_.settle(ncclAllGather(bytes + rank_ * part_bytes, bytes, static_cast<std::size_t>(part_bytes), ncclInt8, link_.get(),
                               stream_.get()),
                 what);
  });
}

CollectiveTicket NcclCommunicator::start_broadcast(TensorView data, int root) {
  const StartedCollective collective = check_broadcast(data, root, size_);
  return start(collective, [&](const std::string& what) {
    link_.settle(ncclBroadcast(data.data(), data.data(), static_cast<std::size_t>(collective.size_bytes), ncclInt8, root,
                               link_.get(), stream_.get()),
                 what);
  });
}

void NcclCommunicator::wait(CollectiveTicket ticket) {
  VIRGIL_CHECK(ticket >= 0 && ticket < num_started_, "ticket {} of {}", ticket, num_started_);
  if (ticket < num_waited_) return;  // a later one has been waited for, and they end in order
  for (; num_waited_ <= ticket; ++num_waited_) {
    if (last_waited_.done.get() != nullptr) spare_.push_back(std::move(last_waited_.done));
    last_waited_ = std::move(under_way_.front());
    under_way_.pop_front();
  }
  check(cudaStreamWaitEvent(backend_.launch_context().stream, last_waited_.done.get(), 0), "cudaStreamWaitEvent");
}

void NcclCommunicator::wait_all() {
  if (num_started_ > 0) wait(num_started_ - 1);
}

void NcclCommunicator::finish() {
  if (num_waited_ > 0) link_.wait(last_waited_.done.get(), to_string(last_waited_.collective));
}

}  // namespace cuda

bool is_built_with_nccl() { return true; }

std::unique_ptr<Communicator> make_nccl_communicator(Backend& backend, ProcessGroup& group) {
  auto* cuda_backend = dynamic_cast<cuda::CudaBackend*>(&backend);
  VIRGIL_CHECK(cuda_backend != nullptr, "NCCL needs a CUDA backend, and this is {}", backend.description());
  cuda::check_rank_devices(cuda_backend->device(), cuda::nccl_version(), group);
  return std::make_unique<cuda::NcclCommunicator>(*cuda_backend, group);
}

}  // namespace virgil
