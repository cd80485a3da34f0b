// What a kernel meets in the simulator: threads of a block as fibers, collectives of a warp, barriers, shared memory, cp.async.
//
// Everything runs on one thread of the operating system; a switch happens only where threads wait for each other (and, in the
// race detector's build, at random memory accesses). Errors are those of a program that CUDA would leave undefined: they are
// recorded with the source line, the kernel is abandoned, and the launch fails with cudaErrorLaunchFailure.
// docs/simulator.md explains the whole; control.h is the side that tests use.
#pragma once

#include <cstddef>
#include <cstdint>

// Code of the simulator that is compiled into a kernel's source, and is not the kernel's own.
#define VIRGIL_SIM_RUNTIME __attribute__((no_sanitize("thread")))

namespace virgil::simt {

inline constexpr int kWarpSize = 32;
inline constexpr int kMaxThreads = 1024;  // of a block

/// A place in a kernel's source.
struct Site {
  const char* file = "";
  unsigned line = 0;
  static constexpr Site current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) { return {file, line}; }
  friend bool operator==(const Site&, const Site&) = default;
};

/// What the lanes of a collective leave behind, by lane; computes the results of all. Lanes outside `mask` have no entry.
using Perform = void (*)(void* const* lanes, std::uint32_t mask);

/// The calling lane leaves `lane_data` and waits until all lanes of `mask` have come to the same collective; the last one runs
/// `perform`. Fails on a lane outside the mask, on other masks or other collectives of the same lanes.
void collective(std::uint32_t mask, void* lane_data, Perform perform, const char* name, Site site);

enum class BarrierKind : std::uint8_t { kPlain, kCount, kAnd, kOr };
/// __syncthreads and its reducing forms. Fails when threads of a block wait at different lines.
int block_barrier(BarrierKind kind, int predicate, Site site);
void warp_barrier(std::uint32_t mask, Site site);
/// Marks that what other blocks wrote before their fences may be read from here on; for the race detector.
void acquire();

[[nodiscard]] void* dynamic_smem();
/// The block's object for this key, made at its first use and full of NaN.
[[nodiscard]] void* static_smem(const void* key, std::size_t size_bytes, std::size_t alignment);
[[nodiscard]] bool is_shared(const void* data, std::size_t size_bytes);

/// Copies source_bytes and fills with zeros to size_bytes. The data appears at the wait, or at once, as the seed decides.
void cp_async(void* shared, const void* global, int size_bytes, int source_bytes, Site site);
void cp_async_commit();
void cp_async_wait(int groups_under_way);

/// Lane of the running thread within its warp.
[[nodiscard]] int current_lane();

/// Ends the kernel with an error that names block, thread and the thread's last collective. Does not return, nor destroy
/// what the caller owns.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };
/// Whether the race detector watches.
[[nodiscard]] bool racing();
/// Tells the race detector of an access by `lane` of the running thread's warp (-1: by the running thread) from the code at
/// `pc`.
void note_access(const void* data, std::size_t size_bytes, Access access, const void* pc, int lane = -1);
inline void note(const void* data, std::size_t size_bytes, Access access, int lane = -1) {
  if (racing()) note_access(data, size_bytes, access, __builtin_return_address(0), lane);
}

}  // namespace virgil::simt

namespace simt = virgil::simt;
