#include "cuda/sim/simulator.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "cuda/sim/race_detector.h"
#include "cuda/sim/sanitizer.h"

namespace virgil::simt {

namespace {

constexpr std::size_t kStackBytes = (kAddressSanitizer ? 256 : 64) * 1024;

std::string hex(std::uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", mask);
  return text;
}

/// "0-3, 7": a set of thread numbers.
std::string list_of(const std::vector<int>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t j = i;
    while (j + 1 < numbers.size() && numbers[j + 1] == numbers[j] + 1) ++j;
    if (!text.empty()) text += ", ";
    text += std::to_string(numbers[i]);
    if (j > i) text.append("-").append(std::to_string(numbers[j]));
    i = j + 1;
  }
  return text;
}

}  // namespace

const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

Place place(const Site& site) {
  Place result;
  std::snprintf(result.text, sizeof result.text, "%s:%u", base_name(site.file), site.line);
  return result;
}

void Random::seed(std::uint64_t seed) {
  state_ = seed * 0x9E3779B97F4A7C15U + 0x139408DCBBF7A44U;
  if (state_ == 0) state_ = 1;
  for (int i = 0; i < 8; ++i) static_cast<void>(next());
}
std::uint32_t Random::next() {
  state_ ^= state_ << 13U;
  state_ ^= state_ >> 7U;
  state_ ^= state_ << 17U;
  return static_cast<std::uint32_t>(state_ >> 16U);
}
std::uint32_t Random::below(std::uint32_t bound) { return static_cast<std::uint32_t>((std::uint64_t{next()} * bound) >> 32U); }

Simulator::Simulator(RaceDetector& race_detector) : stacks_(kMaxThreads, kStackBytes) {
  for (int i = 0; i < kMaxThreads; ++i) thread(i).number = static_cast<std::uint16_t>(i);
  if (RaceDetector::enabled()) race_detector.watch(shared_memory_.begin(), shared_memory_.size_bytes(), true);
}

void Simulator::set_schedule(const Schedule& schedule) {
  schedule_ = schedule;
  random_.seed(schedule.seed);
}

void Simulator::record(const std::string& message) {
  if (error_.empty()) error_ = message;
}

void Simulator::record_here(const std::string& what) {
  const Site site = running_->site;
  std::string message = where() + ": " + what;
  if (site.line != 0) message += std::string(" [last collective: ") + running_->doing + " at " + place(site).c_str() + "]";
  record(message);
}

std::string Simulator::where() const {
  char text[96];
  std::snprintf(text, sizeof text, "block (%u,%u,%u) thread (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x,
                threadIdx.y, threadIdx.z);
  return text;
}

void Simulator::abandon() { running_->fiber.leave_to(host_.fiber); }

// --- Who runs --------------------------------------------------------------------------------------------------------------

void Simulator::make_ready(Thread& thread) {
  thread.state = Thread::State::kReady;
  ready_[(ready_first_ + ready_count_++) % kMaxThreads] = thread.number;
}

Thread* Simulator::take_ready() {
  if (ready_count_ == 0) return nullptr;
  --ready_count_;
  const std::uint32_t last = (ready_first_ + ready_count_) % kMaxThreads;
  if (schedule_.threads == Order::kFirstInFirstOut) {
    const std::uint32_t first = ready_first_;
    ready_first_ = (ready_first_ + 1) % kMaxThreads;
    return &threads_[ready_[first]];
  }
  if (schedule_.threads == Order::kRandom) {
    std::swap(ready_[(ready_first_ + random_.below(ready_count_ + 1)) % kMaxThreads], ready_[last]);
  }
  return &threads_[ready_[last]];
}

void Simulator::resume(Thread& next) {
  Thread& from = *running_;
  if (&next == &from) return;
  running_ = &next;
  const std::uint32_t number = next.number;
  threadIdx = {number % block_.x, number / block_.x % block_.y, number / (block_.x * block_.y)};
  ++statistics_.switches;
  if (from.state == Thread::State::kDone) from.fiber.leave_to(next.fiber);
  from.fiber.switch_to(next.fiber);
}

void Simulator::wait_as(Thread::State state) {
  running_->state = state;
  Thread* next = take_ready();
  resume(next != nullptr ? *next : host_);
}

void Simulator::yield() {
  if (ready_count_ == 0) return;
  make_ready(*running_);
  resume(*take_ready());
}

void Simulator::thread_main() {
  Fiber::entered();
  Simulator& self = simulator();
  (*self.kernel_)();
  Thread& thread = *self.running_;
  if (!thread.copies.empty()) {
    fail("the thread exits with %zu cp.async not waited for, the first from %s", thread.copies.size(),
         place(thread.site).c_str());
  }
  ++self.num_done_;
  self.wait_as(Thread::State::kDone);
  std::abort();  // nobody resumes a thread that is done
}

bool Simulator::run_grid(const Extent& grid, const Extent& block, std::size_t smem_bytes, const std::function<void()>& kernel) {
  if (failed()) return false;
  ++statistics_.launches;
  gridDim = {grid.x, grid.y, grid.z};
  blockDim = {block.x, block.y, block.z};
  block_ = block;
  num_threads_ = static_cast<std::uint32_t>(block.count());
  kernel_ = &kernel;
  std::vector<std::uint32_t> order(grid.count());
  std::iota(order.begin(), order.end(), 0U);
  if (schedule_.shuffle_blocks) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(static_cast<std::uint32_t>(i))]);
  }
  for (const std::uint32_t number : order) {
    blockIdx = {number % grid.x, number / grid.x % grid.y, number / (grid.x * grid.y)};
    shared_memory_.begin_block(smem_bytes);
    if (RaceDetector::enabled()) race_detector().begin_block();
    run_block();
    if (failed()) return false;
  }
  return true;
}

void Simulator::run_block() {
  num_done_ = 0;
  ready_first_ = ready_count_ = 0;
  barrier_.arrived = 0;
  const std::uint32_t num_warps = (num_threads_ + kWarpSize - 1) / kWarpSize;
  for (std::uint32_t warp = 0; warp < num_warps; ++warp) {
    for (Gathering& gathering : gatherings_[warp]) gathering.arrived = 0;
  }
  for (std::uint32_t i = 0; i < num_threads_; ++i) {
    Thread& thread = threads_[i];
    thread.warp_epoch = 0;
    thread.copy_group = 0;
    thread.site = {};
    thread.copies.clear();
    thread.fiber.prepare(stacks_.stack(static_cast<int>(i)), stacks_.stack_bytes(), &thread_main,
                         thread.state != Thread::State::kDone);
  }
  // Whole warps in random order, and the lanes of each.
  std::array<std::uint32_t, kMaxThreads / kWarpSize> warps{};
  std::iota(warps.begin(), warps.end(), 0U);
  if (schedule_.seed != 0) {
    for (std::uint32_t i = num_warps; i > 1; --i) std::swap(warps[i - 1], warps[random_.below(i)]);
  }
  for (std::uint32_t w = 0; w < num_warps; ++w) {
    const std::uint32_t first = warps[w] * kWarpSize;
    const std::uint32_t count = std::min<std::uint32_t>(kWarpSize, num_threads_ - first);
    wake_lanes(first, count == kWarpSize ? ~0U : (1U << count) - 1);
  }
  statistics_.threads += num_threads_;
  running_ = &host_;
  host_.state = Thread::State::kReady;
  resume(*take_ready());
  running_ = nullptr;
  if (!failed() && num_done_ != num_threads_) report_deadlock();
}

/// Makes lanes ready, in random order where the schedule is random.
void Simulator::wake_lanes(std::uint32_t first_thread, std::uint32_t lanes) {
  std::array<std::uint8_t, kWarpSize> order{};
  std::uint32_t count = 0;
  for (; lanes != 0; lanes &= lanes - 1) order[count++] = static_cast<std::uint8_t>(__builtin_ctz(lanes));
  if (schedule_.seed != 0) {
    for (std::uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  }
  for (std::uint32_t i = 0; i < count; ++i) make_ready(threads_[first_thread + order[i]]);
}

// --- Collectives of a warp
// -------------------------------------------------------------------------------------------------------

void Simulator::collective(std::uint32_t mask, void* lane_data, Perform perform, const char* name, Site site) {
  ++statistics_.collectives;
  Thread& thread = *running_;
  const std::uint32_t lane = thread.number % kWarpSize, warp = thread.number / kWarpSize;
  const std::uint32_t lanes_of_warp = num_threads_ - warp * kWarpSize;
  const std::uint32_t live = lanes_of_warp >= kWarpSize ? ~0U : (1U << lanes_of_warp) - 1;
  thread.doing = name;
  thread.site = site;
  thread.mask = mask;
  if ((mask >> lane & 1U) == 0) fail("%s: lane %u calls, but is not in the mask %08x", name, lane, mask);
  if ((mask & ~live) != 0) fail("%s: the mask %08x names lanes that the block of %u threads lacks", name, mask, num_threads_);
  Gathering& gathering = gatherings_[warp][static_cast<std::size_t>(__builtin_ctz(mask))];
  if (gathering.arrived == 0) {
    gathering.mask = mask;
    gathering.perform = perform;
    gathering.name = name;
  } else if (gathering.mask != mask || gathering.perform != perform || std::strcmp(gathering.name, name) != 0) {
    const Thread& other = threads_[warp * kWarpSize + static_cast<std::uint32_t>(__builtin_ctz(gathering.arrived))];
    fail("divergent warp: lane %u is at %s with mask %08x, lane %u at %s (%s) with mask %08x", lane, name, mask,
         other.number % static_cast<std::uint32_t>(kWarpSize), gathering.name, place(other.site).c_str(), gathering.mask);
  }
  gathering.lanes[lane] = lane_data;
  gathering.arrived |= 1U << lane;
  if (gathering.arrived != mask) return wait_as(Thread::State::kInCollective);
  gathering.arrived = 0;
  perform(gathering.lanes.data(), mask);
  wake_lanes(warp * kWarpSize, mask & ~(1U << lane));
  if (schedule_.seed != 0 && random_.coin()) yield();
}

// --- Barriers of a block
// -----------------------------------------------------------------------------------------------------------

void Simulator::check_same_barrier(const Barrier& barrier) {
  const Thread& first = threads_[barrier.waiting[0]];
  for (std::uint32_t i = 1; i < barrier.arrived; ++i) {
    const Thread& other = threads_[barrier.waiting[i]];
    if (other.site.line == first.site.line && std::strcmp(other.site.file, first.site.file) == 0) continue;
    fail("divergent barrier: thread %u waits at %s, thread %u at %s", first.number, place(first.site).c_str(), other.number,
         place(other.site).c_str());
  }
}

int Simulator::block_barrier(BarrierKind kind, int predicate, Site site) {
  ++statistics_.barriers;
  Thread& thread = *running_;
  thread.doing = "__syncthreads";
  thread.site = site;
  Barrier& barrier = barrier_;
  if (barrier.arrived == 0) {
    barrier.kind = kind;
    barrier.true_count = 0;
  } else if (barrier.kind != kind) {
    fail("divergent barrier: threads of the block call different forms of __syncthreads");
  }
  barrier.waiting[barrier.arrived++] = thread.number;
  barrier.true_count += predicate != 0 ? 1 : 0;
  if (barrier.arrived < num_threads_) {
    wait_as(Thread::State::kAtBarrier);
    return thread.predicate;
  }
  check_same_barrier(barrier);
  const int count = barrier.true_count;
  const int result = kind == BarrierKind::kCount ? count
                     : kind == BarrierKind::kAnd ? static_cast<int>(count == static_cast<int>(num_threads_))
                                                 : static_cast<int>(count > 0);
  if (RaceDetector::enabled()) race_detector().full_barrier();
  const std::uint32_t others = barrier.arrived - 1;
  if (schedule_.seed != 0) {
    for (std::uint32_t i = others; i > 1; --i) std::swap(barrier.waiting[i - 1], barrier.waiting[random_.below(i)]);
  }
  barrier.arrived = 0;
  for (std::uint32_t i = 0; i < others; ++i) {
    threads_[barrier.waiting[i]].predicate = result;
    make_ready(threads_[barrier.waiting[i]]);
  }
  if (schedule_.seed != 0) yield();
  return result;
}

/// Nobody can run and not all are done: says who waits where, for whom.
void Simulator::report_deadlock() {
  std::map<std::string, std::vector<int>> waiting;
  std::vector<int> done;
  for (std::uint32_t i = 0; i < num_threads_; ++i) {
    const Thread& thread = threads_[i];
    if (thread.state == Thread::State::kDone) {
      done.push_back(static_cast<int>(i));
      continue;
    }
    std::string what = std::string(thread.doing) + " at " + place(thread.site).c_str();
    if (thread.state == Thread::State::kInCollective) what += " with mask " + hex(thread.mask);
    waiting[what].push_back(static_cast<int>(i));
  }
  char block[64];
  std::snprintf(block, sizeof block, "deadlock in block (%u,%u,%u): ", blockIdx.x, blockIdx.y, blockIdx.z);
  std::string message = block;
  for (const auto& [what, threads] : waiting) message += "threads " + list_of(threads) + " wait in " + what + "; ";
  if (!done.empty()) message += "threads " + list_of(done) + " have exited; ";
  record(message.substr(0, message.size() - 2));
}

}  // namespace virgil::simt
