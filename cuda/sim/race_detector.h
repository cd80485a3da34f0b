// Finds accesses to shared and device memory that nothing orders.
//
// Kernel sources of the race build are compiled with -fsanitize=thread, whose calls before each access come to tsan_hooks.cpp
// instead of to ThreadSanitizer. For each byte a cell keeps the last write and the last read: when (a phase that grows with
// every launch, block and full barrier), by which thread, after how many __syncwarp, and from where. Two accesses of which one
// writes are a race unless
//   - a full barrier or the end of a kernel lies between them (and, between kernels of two streams, an event or a wait),
//   - they are of one thread, or of one warp with a __syncwarp between, or both atomic,
//   - the later block called acquire_fence() (the "last block" pattern).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cuda/sim/simt.h"

namespace virgil::simt {

class RaceDetector {
 public:
  RaceDetector() = default;
  ~RaceDetector();
  RaceDetector(const RaceDetector&) = delete;
  RaceDetector& operator=(const RaceDetector&) = delete;

  /// All watch; called before the first access by the race build alone.
  static void enable() { enabled_ = true; }
  [[nodiscard]] static bool enabled() { return enabled_; }

  /// Ranges to watch; anything else (a thread's stack, parameters) is its own.
  void watch(const void* data, std::size_t size_bytes, bool shared);

  /// A piece of work of a stream begins. `clock` says for each stream how many of its pieces are sure to be over.
  void begin_task(int stream, std::uint64_t number, std::span<const std::uint64_t> clock);
  void begin_block();
  void full_barrier() { ++phase_; }
  void acquire() { acquired_ = true; }

  void access(const void* data, std::size_t size_bytes, Access access, const void* pc, int lane);
  /// A copy or a fill by the runtime, named after its function.
  void transfer(const void* data, std::size_t size_bytes, Access access, const char* name);

 private:
  struct Mark {
    std::uint32_t phase = 0;   // 0: never
    std::uint16_t thread = 0;  // number and flags
    std::uint16_t epoch = 0;
    std::uint32_t place = 0;
  };
  struct Cell {
    Mark write;
    Mark read;
  };
  /// Copies and fills are large: for whole pages they are kept here instead of in cells.
  struct Page {
    Mark write;
    Mark read;
    std::uint64_t streams = 0;  // a bit (stream modulo 64) for each that used the cells since the last whole write
  };
  struct Region {
    const std::byte* begin = nullptr;
    std::size_t size_bytes = 0;
    Cell* cells = nullptr;
    Page* pages = nullptr;
    bool shared = false;
  };
  struct Task {
    std::uint32_t first_phase = 0;
    int stream = 0;
    std::uint64_t number = 0;
  };
  enum class Conflict : std::uint8_t { kNone, kThread, kBlock, kStream };

  [[nodiscard]] Region* region_of(const void* data);
  [[nodiscard]] Conflict unordered(const Region& region, const Mark& mark, std::uint16_t thread, std::uint16_t epoch) const;
  [[nodiscard]] bool task_is_over(std::uint32_t phase) const;
  [[nodiscard]] std::uint32_t place_of(const void* pc, int lane);
  [[nodiscard]] std::uint32_t place_of(const Site& site);
  [[nodiscard]] std::string describe(std::uint32_t place);
  void note_read(Cell& cell, const Mark& now) const;
  /// Transfers within a page, byte by byte; false when a race was reported.
  bool transfer_bytes(Region& region, std::size_t begin, std::size_t end, Access access, const Mark& now, const char* name);
  [[nodiscard]] std::uint64_t stream_bit() const { return std::uint64_t{1} << (static_cast<unsigned>(stream_) % 64U); }
  void report(const Region& region, std::size_t offset, const char* what, const Mark& now, const char* earlier_what,
              const Mark& earlier, Conflict conflict);

  static inline bool enabled_ = false;
  bool acquired_ = false;
  std::uint32_t phase_ = 1;
  std::uint32_t task_phase_ = 1;   // of the running task's begin
  std::uint32_t block_phase_ = 1;  // of the running block's begin
  std::vector<Region> regions_;
  std::vector<Task> tasks_;
  std::vector<std::uint64_t> clock_;
  int stream_ = 0;
  std::map<std::pair<const char*, unsigned>, std::uint32_t> site_numbers_;
  std::vector<Site> sites_;
  std::map<std::uint32_t, std::string> source_lines_;  // asking for one costs a process
};

/// Of the calling thread's device.
[[nodiscard]] RaceDetector& race_detector();

}  // namespace virgil::simt
