#include "virgil/dist/process_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "virgil/dist/communicator.h"
#include "virgil/dist/launch.h"

namespace virgil {

namespace {

/// Nothing moves.
class SingleCommunicator final : public Communicator {
 public:
  [[nodiscard]] CommunicatorKind kind() const override { return CommunicatorKind::kSingle; }
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string description() const override { return "one process"; }
  void bind_staging(std::span<std::byte>) override {}
  CollectiveTicket start_reduce_scatter(TensorView, DType) override { return 0; }
  CollectiveTicket start_all_gather(TensorView) override { return 0; }
  CollectiveTicket start_broadcast(TensorView, int) override { return 0; }
  void wait(CollectiveTicket) override {}
  void wait_all() override {}
};

/// There is nobody to wait for.
class SingleWait final : public OutsideWait {
 public:
  void check() override {}
};

class SingleProcessGroup final : public ProcessGroup {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string description() const override { return "one process"; }
  [[nodiscard]] std::string name_of(int) const override { return fmt::format("rank 0 (process {})", getpid()); }
  [[nodiscard]] int local_rank() const override { return 0; }
  [[nodiscard]] int local_size() const override { return 1; }
  [[nodiscard]] std::chrono::milliseconds timeout() const override { return GroupOptions{}.timeout; }
  void all_gather(std::span<std::byte> all, std::span<const std::byte> mine) override { std::ranges::copy(mine, all.begin()); }
  void gather(std::span<std::byte> all, std::span<const std::byte> mine, int) override { all_gather(all, mine); }
  void broadcast(std::span<std::byte>, int) override {}
  void barrier() override {}
  [[nodiscard]] std::unique_ptr<OutsideWait> wait_outside(std::string, std::chrono::milliseconds) override {
    return std::make_unique<SingleWait>();
  }
  [[nodiscard]] std::unique_ptr<Communicator> make_host_communicator() override {
    return std::make_unique<SingleCommunicator>();
  }
  [[noreturn]] void abort(int exit_status) override { std::_Exit(exit_status); }
};

}  // namespace

std::vector<std::string> ProcessGroup::all_gather_texts(std::string_view mine) {
  const auto count = static_cast<std::size_t>(size());
  const std::uint64_t length = mine.size();
  std::vector<std::uint64_t> lengths(count);
  all_gather(std::as_writable_bytes(std::span(lengths)), std::as_bytes(std::span(&length, 1)));
  const std::uint64_t longest = std::ranges::max(lengths);
  std::vector<std::string> texts(count);
  if (longest == 0) return texts;
  std::string padded(mine);
  padded.resize(longest);
  std::string all(longest * count, '\0');
  all_gather(std::as_writable_bytes(std::span(all)), std::as_bytes(std::span(padded)));
  for (std::size_t r = 0; r < count; ++r) texts[r] = all.substr(r * longest, lengths[r]);
  return texts;
}

std::unique_ptr<ProcessGroup> make_single_process_group() { return std::make_unique<SingleProcessGroup>(); }

}  // namespace virgil
