// The inside of the simulator: one block's threads, who may run, and what each waits for.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda/sim/control.h"
#include "cuda/sim/fiber.h"
#include "cuda/sim/shared_memory.h"
#include "cuda/sim/simt.h"

namespace virgil::simt {

/// Xorshift64: quick, and the same everywhere.
class Random {
 public:
  void seed(std::uint64_t seed);
  [[nodiscard]] std::uint32_t next();
  /// In [0, bound).
  [[nodiscard]] std::uint32_t below(std::uint32_t bound);
  [[nodiscard]] bool coin() { return (next() & 1U) != 0; }

 private:
  std::uint64_t state_ = 1;
};

struct Extent {
  std::uint32_t x = 1, y = 1, z = 1;
  [[nodiscard]] std::uint64_t count() const { return std::uint64_t{x} * y * z; }
};

struct AsyncCopy {
  void* target = nullptr;
  const void* source = nullptr;
  int size_bytes = 0;
  int source_bytes = 0;
  std::uint32_t group = 0;
  bool done = false;
};

struct Thread {
  enum class State : std::uint8_t { kReady, kInCollective, kAtBarrier, kDone };
  Fiber fiber;
  std::uint16_t number = 0;      // within the block
  std::uint16_t warp_epoch = 0;  // how many __syncwarp it has passed, for the race detector
  State state = State::kReady;
  int predicate = 0;
  std::uint32_t mask = 0;
  std::uint32_t copy_group = 0;
  const char* doing = "";
  Site site;
  std::vector<AsyncCopy> copies;
};

class RaceDetector;

/// Runs grids, block after block.
class Simulator {
 public:
  explicit Simulator(RaceDetector& race_detector);

  /// Runs all blocks; false when an error was recorded.
  bool run_grid(const Extent& grid, const Extent& block, std::size_t smem_bytes, const std::function<void()>& kernel);

  void set_schedule(const Schedule& schedule);
  [[nodiscard]] const Schedule& schedule() const { return schedule_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] Statistics& statistics() { return statistics_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  void reset_error() { error_.clear(); }
  [[nodiscard]] bool failed() const { return !error_.empty(); }
  /// Keeps the first error.
  void record(const std::string& message);
  /// The same, with the running thread and its last collective.
  void record_here(const std::string& what);

  /// Whether a thread of a kernel runs, rather than host code.
  [[nodiscard]] bool in_kernel() const { return running_ != nullptr && running_ != &host_; }
  [[nodiscard]] Thread& running() { return *running_; }
  [[nodiscard]] Thread& thread(int number) { return threads_[static_cast<std::size_t>(number)]; }
  [[nodiscard]] std::uint32_t num_threads() const { return num_threads_; }
  [[nodiscard]] SharedMemory& shared_memory() { return shared_memory_; }

  void collective(std::uint32_t mask, void* lane_data, Perform perform, const char* name, Site site);
  int block_barrier(BarrierKind kind, int predicate, Site site);
  /// Lets others run first, as a GPU may at any moment.
  void yield();
  /// Back to the host: the block is abandoned. Its threads' objects are not destroyed, so the caller must not own memory.
  [[noreturn]] void abandon();
  /// "block (1,0,0) thread (3,0,0)".
  [[nodiscard]] std::string where() const;

 private:
  /// Lanes that wait for the rest of their mask.
  struct Gathering {
    std::uint32_t mask = 0;
    std::uint32_t arrived = 0;
    Perform perform = nullptr;
    const char* name = "";
    std::array<void*, kWarpSize> lanes{};
  };
  struct Barrier {
    BarrierKind kind = BarrierKind::kPlain;
    std::uint32_t arrived = 0;
    int true_count = 0;
    std::array<std::uint16_t, kMaxThreads> waiting{};
  };

  static void thread_main();
  void run_block();
  void make_ready(Thread& thread);
  [[nodiscard]] Thread* take_ready();
  void resume(Thread& next);
  void wait_as(Thread::State state);
  void wake_lanes(std::uint32_t first_thread, std::uint32_t lanes);
  void check_same_barrier(const Barrier& barrier);
  void report_deadlock();

  Schedule schedule_;
  Random random_;
  Statistics statistics_;
  std::string error_;

  StackPool stacks_;
  SharedMemory shared_memory_;
  std::array<Thread, kMaxThreads> threads_;
  Thread host_;
  Thread* running_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  Extent block_;
  std::uint32_t num_threads_ = 0;
  std::uint32_t num_done_ = 0;

  std::array<std::uint16_t, kMaxThreads> ready_{};  // a ring
  std::uint32_t ready_first_ = 0;
  std::uint32_t ready_count_ = 0;

  std::array<std::array<Gathering, kWarpSize>, kMaxThreads / kWarpSize> gatherings_;  // [warp][lowest lane of the mask]
  Barrier barrier_;
};

/// Of the calling thread's device.
[[nodiscard]] Simulator& simulator();

/// "gelu.cu:42" without memory of its own: a fiber that is abandoned frees nothing.
struct Place {
  char text[128];
  [[nodiscard]] const char* c_str() const { return text; }
};
[[nodiscard]] Place place(const Site& site);

/// File name without folders.
[[nodiscard]] const char* base_name(const char* path);

}  // namespace virgil::simt
