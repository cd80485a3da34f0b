#include "cuda/sim/simt.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/sim/race_detector.h"
#include "cuda/sim/simulator.h"

namespace virgil::simt {
// -------------------------------------------------------------------------------------------------------------

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  Simulator& self = simulator();
  if (!self.in_kernel()) {
    std::fprintf(stderr, "simulator: %s\n", text);
    std::abort();
  }
  self.record_here(text);
  self.abandon();
}

void collective(std::uint32_t mask, void* lane_data, Perform perform, const char* name, Site site) {
  if (!simulator().in_kernel()) fail("%s outside a kernel", name);
  simulator().collective(mask, lane_data, perform, name, site);
}

int block_barrier(BarrierKind kind, int predicate, Site site) {
  if (!simulator().in_kernel()) fail("__syncthreads outside a kernel");
  return simulator().block_barrier(kind, predicate, site);
}

void warp_barrier(std::uint32_t mask, Site site) {
  // An epoch of the warp ends: what its lanes did before is ordered before what they do after.
  const Perform advance = [](void* const* lanes, std::uint32_t joined) {
    std::uint16_t latest = 0;
    for (std::uint32_t m = joined; m != 0; m &= m - 1) {
      latest = std::max(latest, static_cast<Thread*>(lanes[__builtin_ctz(m)])->warp_epoch);
    }
    for (std::uint32_t m = joined; m != 0; m &= m - 1) {
      static_cast<Thread*>(lanes[__builtin_ctz(m)])->warp_epoch = static_cast<std::uint16_t>(latest + 1);
    }
  };
  if (!simulator().in_kernel()) fail("__syncwarp outside a kernel");
  collective(mask, &simulator().running(), advance, "__syncwarp", site);
}

void acquire() { race_detector().acquire(); }

void* dynamic_smem() { return simulator().shared_memory().dynamic(); }

void* static_smem(const void* key, std::size_t size_bytes, std::size_t alignment) {
  if (!simulator().in_kernel()) fail("shared memory outside a kernel");
  void* object = simulator().shared_memory().object(key, size_bytes, alignment);
  if (object == nullptr) fail("more than 48 KiB of static shared memory");
  return object;
}

bool is_shared(const void* data, std::size_t size_bytes) { return simulator().shared_memory().contains(data, size_bytes); }

int current_lane() { return simulator().running().number % kWarpSize; }

// --- cp.async
// ------------------------------------------------------------------------------------------------------------------------

namespace {

void finish(AsyncCopy& copy) {
  if (copy.done) return;
  if (copy.source_bytes > 0) std::memcpy(copy.target, copy.source, static_cast<std::size_t>(copy.source_bytes));
  std::memset(static_cast<std::byte*>(copy.target) + copy.source_bytes, 0,
              static_cast<std::size_t>(copy.size_bytes - copy.source_bytes));
  copy.done = true;
}

}  // namespace

void cp_async(void* shared, const void* global, int size_bytes, int source_bytes, Site site) {
  Thread& thread = simulator().running();
  thread.doing = "cp.async";
  thread.site = site;
  const auto alignment = static_cast<std::uintptr_t>(size_bytes);
  if (reinterpret_cast<std::uintptr_t>(shared) % alignment != 0 || reinterpret_cast<std::uintptr_t>(global) % alignment != 0) {
    fail("cp.async at %s: an address is not %d-byte aligned", place(site).c_str(), size_bytes);
  }
  if (!is_shared(shared, static_cast<std::size_t>(size_bytes))) {
    fail("cp.async at %s: the target is not in shared memory", place(site).c_str());
  }
  const int lane = current_lane();
  if (source_bytes > 0) note(global, static_cast<std::size_t>(source_bytes), Access::kRead, lane);
  note(shared, static_cast<std::size_t>(size_bytes), Access::kWrite, lane);
  thread.copies.push_back({shared, global, size_bytes, source_bytes, thread.copy_group, false});
  const Schedule& schedule = simulator().schedule();
  if (!schedule.late_copies && simulator().random().coin()) finish(thread.copies.back());
}

void cp_async_commit() { ++simulator().running().copy_group; }

void cp_async_wait(int groups_under_way) {
  Thread& thread = simulator().running();
  std::size_t kept = 0;
  for (AsyncCopy& copy : thread.copies) {
    if (static_cast<int>(thread.copy_group - copy.group) > groups_under_way) {
      finish(copy);
      // To others the data appears now: a barrier must follow.
      note(copy.target, static_cast<std::size_t>(copy.size_bytes), Access::kWrite, current_lane());
    } else {
      thread.copies[kept++] = copy;
    }
  }
  thread.copies.resize(kept);
}

}  // namespace virgil::simt
