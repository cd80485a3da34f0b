#include "mpi/mpi_communicator.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>

#include "virgil/base/shape.h"
#include "virgil/dist/ordered_sum.h"

namespace virgil {

namespace {

constexpr std::size_t kCacheLineBytes = 64;

}  // namespace

MpiCommunicator::MpiCommunicator(OwnedComm comm, RollCall& roll_call)
    : channel_(std::move(comm), roll_call, "the tensors' collectives") {
  const auto ranks = static_cast<std::size_t>(size());
  for (Half& half : halves_) {
    half.received.resize(ranks);
    half.requests.reserve(2 * ranks);
  }
  worker_ = std::thread([this] { work(); });
}

MpiCommunicator::~MpiCommunicator() {
  if (std::uncaught_exceptions() > 0) channel_.stop_waiting();
  {
    const std::scoped_lock lock(mutex_);
    must_end_ = true;
  }
  work_has_come_.notify_one();
  worker_.join();
}

void MpiCommunicator::bind_staging(std::span<std::byte> staging) {
  const std::scoped_lock lock(mutex_);
  VIRGIL_CHECK(num_done_ == num_started_, "staging changes with {} collectives under way", num_started_ - num_done_);
  staging_bytes_ = static_cast<std::int64_t>(staging.size());
  // Summands of a half take (R - 1) / R of it, so that rounding it to whole cache lines leaves enough.
  const std::size_t half = staging.size() / 2 / kCacheLineBytes * kCacheLineBytes;
  halves_[0].memory = staging.first(half);
  halves_[1].memory = staging.subspan(half, half);
}

CollectiveTicket MpiCommunicator::start_reduce_scatter(TensorView data, DType wire) {
  const StartedCollective collective = check_reduce_scatter(data, wire, size());
  const std::int64_t needed = communicator_staging_bytes(kind(), size(), wire);
  VIRGIL_CHECK(staging_bytes_ >= needed, "staging of {} bytes, and {} are needed", staging_bytes_, needed);
  return start(collective, data);
}

CollectiveTicket MpiCommunicator::start_all_gather(TensorView data) { return start(check_all_gather(data, size()), data); }

CollectiveTicket MpiCommunicator::start_broadcast(TensorView data, int root) {
  return start(check_broadcast(data, root, size()), data);
}

CollectiveTicket MpiCommunicator::start(const StartedCollective& collective, TensorView data) {
  CollectiveTicket ticket = 0;
  {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back({collective, {static_cast<std::byte*>(data.data()), static_cast<std::size_t>(data.size_bytes())}});
    ticket = num_started_++;
  }
  work_has_come_.notify_one();
  return ticket;
}

void MpiCommunicator::wait(CollectiveTicket ticket) {
  std::unique_lock lock(mutex_);
  VIRGIL_CHECK(ticket >= 0 && ticket < num_started_, "ticket {} of {}", ticket, num_started_);
  work_is_done_.wait(lock, [&] { return num_done_ > ticket || error_; });
  if (num_done_ <= ticket) std::rethrow_exception(error_);
}

void MpiCommunicator::wait_all() {
  CollectiveTicket last = 0;
  {
    const std::scoped_lock lock(mutex_);
    last = num_started_ - 1;
  }
  if (last >= 0) wait(last);
}

void MpiCommunicator::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_has_come_.wait(lock, [&] { return must_end_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    const Task task = tasks_.front();
    lock.unlock();
    std::exception_ptr error;
    try {
      run(task);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error) {
      error_ = error;
      work_is_done_.notify_all();
      return;
    }
    tasks_.pop_front();
    ++num_done_;
    work_is_done_.notify_all();
  }
}

void MpiCommunicator::run(const Task& task) {
  channel_.begin(task.collective);
  switch (task.collective.kind) {
    case CollectiveKind::kReduceScatter:
      reduce_scatter(task);
      break;
    case CollectiveKind::kAllGather:
      channel_.all_gather(task.data);
      break;
    default:
      channel_.broadcast(task.data, task.collective.root);
  }
}

void MpiCommunicator::reduce_scatter(const Task& task) {
  const std::span data(reinterpret_cast<float*>(task.data.data()), task.data.size() / sizeof(float));
  const auto ranks = static_cast<std::size_t>(size());
  const std::size_t part = data.size() / ranks;
  const std::size_t piece = static_cast<std::size_t>(communicator_piece_elements(size())) / 2;
  const DType wire = task.collective.wire_bytes == size_of(DType::kFloat32) ? DType::kFloat32 : DType::kBFloat16;
  const std::span<float> own = data.subspan(static_cast<std::size_t>(rank()) * part, part);
  const auto count_at = [&](std::size_t first) { return std::min(piece, part - first); };

  if (part > 0) exchange(halves_[0], data, 0, count_at(0), wire);
  for (std::size_t first = 0, turn = 0; first < part; first += piece, turn ^= 1) {
    const std::size_t next = first + piece;
    if (next < part) exchange(halves_[turn ^ 1], data, next, count_at(next), wire);
    channel_.wait(halves_[turn].requests);
    sum_in_rank_order(own.subspan(first, count_at(first)), rank(), halves_[turn].received, wire,
                      [&] { channel_.make_progress(); });
  }
}

void MpiCommunicator::exchange(Half& half, std::span<float> data, std::size_t first, std::size_t count, DType wire) {
  const int ranks = size();
  const std::size_t part = data.size() / static_cast<std::size_t>(ranks);
  const std::size_t bytes = count * static_cast<std::size_t>(size_of(wire));
  std::span<std::byte> unused = half.memory;
  const auto take = [&] {
    const std::span<std::byte> taken = unused.first(bytes);
    unused = unused.subspan(bytes);
    return taken;
  };
  half.requests.clear();
  for (int distance = 1; distance < ranks; ++distance) {
    const int from = (rank() + ranks - distance) % ranks;
    const std::span<std::byte> arriving = take();
    half.received[static_cast<std::size_t>(from)] = arriving.data();
    half.requests.push_back(channel_.receive(arriving, from));
  }
  for (int distance = 1; distance < ranks; ++distance) {
    const int to = (rank() + distance) % ranks;
    const std::span<const float> summands = data.subspan(static_cast<std::size_t>(to) * part + first, count);
    if (wire == DType::kFloat32) {
      half.requests.push_back(channel_.send(std::as_bytes(summands), to));
      continue;
    }
    const std::span<std::byte> leaving = take();
    round_to_bfloat16({reinterpret_cast<BFloat16*>(leaving.data()), count}, summands);
    half.requests.push_back(channel_.send(leaving, to));
  }
}

}  // namespace virgil
