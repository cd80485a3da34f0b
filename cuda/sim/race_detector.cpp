#include "cuda/sim/race_detector.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <new>

#include "cuda/sim/simulator.h"

namespace virgil::simt {

namespace {

// Flags beside the thread's number (below 1024).
constexpr std::uint16_t kNumber = 0x3FF;
constexpr std::uint16_t kAtomic = 0x8000;
constexpr std::uint16_t kManyLanes = 0x4000;  // several lanes of the warp read it in this epoch
constexpr std::uint16_t kManyWarps = 0x2000;  // threads of several warps read it in this phase
constexpr std::uint16_t kHost = 0x1000;       // a copy by the runtime
constexpr std::size_t kPageBytes = 4096;
constexpr std::uint32_t kSitePlace = 0x80000000U;

std::size_t pages_of(std::size_t size_bytes) { return size_bytes / kPageBytes + 1; }

std::uintptr_t load_address() {
  static const std::uintptr_t address = [] {
    std::uintptr_t found = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t /*size*/, void* result) {
          *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
          return 1;  // the program itself comes first
        },
        &found);
    return found;
  }();
  return address;
}

/// "layernorm.cu:42", or the address where binutils are not installed.
std::string source_line(std::uint32_t offset) {
  std::array<char, 512> program{};
  if (readlink("/proc/self/exe", program.data(), program.size() - 1) < 0) return "?";
  char address[32];
  std::snprintf(address, sizeof address, "0x%x", offset - 1);
  const std::string command = "addr2line -s -e '" + std::string(program.data()) + "' " + address + " 2>/dev/null";
  std::string line;
  if (FILE* pipe = popen(command.c_str(), "r"); pipe != nullptr) {
    std::array<char, 256> text{};
    if (std::fgets(text.data(), text.size(), pipe) != nullptr) line = text.data();
    pclose(pipe);
  }
  line = line.substr(0, line.find_first_of(" \n"));
  return line.empty() || line[0] == '?' ? address : line;
}

}  // namespace

bool racing() { return RaceDetector::enabled(); }

void note_access(const void* data, std::size_t size_bytes, Access access, const void* pc, int lane) {
  if (simulator().in_kernel() && !simulator().failed()) race_detector().access(data, size_bytes, access, pc, lane);
}

RaceDetector::~RaceDetector() {
  for (const Region& region : regions_) {
    munmap(region.cells, region.size_bytes * sizeof(Cell));
    munmap(region.pages, pages_of(region.size_bytes) * sizeof(Page));
  }
}

void RaceDetector::watch(const void* data, std::size_t size_bytes, bool shared) {
  const auto zeros = [](std::size_t count) {
    void* memory = mmap(nullptr, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    return memory;
  };
  regions_.push_back({static_cast<const std::byte*>(data), size_bytes, static_cast<Cell*>(zeros(size_bytes * sizeof(Cell))),
                      static_cast<Page*>(zeros(pages_of(size_bytes) * sizeof(Page))), shared});
}

void RaceDetector::begin_task(int stream, std::uint64_t number, std::span<const std::uint64_t> clock) {
  task_phase_ = ++phase_;
  block_phase_ = phase_;
  stream_ = stream;
  acquired_ = false;
  clock_.assign(clock.begin(), clock.end());
  tasks_.push_back({phase_, stream, number});
}

void RaceDetector::begin_block() {
  block_phase_ = ++phase_;
  acquired_ = false;
}

RaceDetector::Region* RaceDetector::region_of(const void* data) {
  const auto* address = static_cast<const std::byte*>(data);
  for (Region& region : regions_) {
    if (address >= region.begin && address < region.begin + region.size_bytes) return &region;
  }
  return nullptr;
}

/// Whether the task that ran in `phase`, an earlier one, is sure to be over when the running one starts.
bool RaceDetector::task_is_over(std::uint32_t phase) const {
  auto after = std::ranges::upper_bound(tasks_, phase, {}, &Task::first_phase);
  if (after == tasks_.begin()) return true;
  const Task& task = *std::prev(after);
  if (task.stream == stream_) return true;
  return static_cast<std::size_t>(task.stream) < clock_.size() && clock_[static_cast<std::size_t>(task.stream)] >= task.number;
}

RaceDetector::Conflict RaceDetector::unordered(const Region& region, const Mark& mark, std::uint16_t thread,
                                               std::uint16_t epoch) const {
  if (mark.phase == 0) return Conflict::kNone;
  if (mark.phase < task_phase_) return region.shared || task_is_over(mark.phase) ? Conflict::kNone : Conflict::kStream;
  if (mark.phase < block_phase_) return region.shared || acquired_ ? Conflict::kNone : Conflict::kBlock;
  if (mark.phase < phase_) return Conflict::kNone;
  const bool many = (mark.thread & (kManyLanes | kManyWarps)) != 0;
  if ((mark.thread & kNumber) == thread && !many) return Conflict::kNone;
  if ((mark.thread & kManyWarps) != 0 || (mark.thread & kNumber) / kWarpSize != thread / kWarpSize) return Conflict::kThread;
  return mark.epoch == epoch ? Conflict::kThread : Conflict::kNone;
}

std::uint32_t RaceDetector::place_of(const Site& site) {
  const auto [entry, added] = site_numbers_.try_emplace({site.file, site.line}, static_cast<std::uint32_t>(sites_.size()));
  if (added) sites_.push_back(site);
  return kSitePlace | entry->second;
}

std::uint32_t RaceDetector::place_of(const void* pc, int lane) {
  // On behalf of lanes: their collective's line in the kernel, not the simulator's.
  if (lane >= 0 || pc == nullptr) return place_of(simulator().running().site);
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pc) - load_address());
}

std::string RaceDetector::describe(std::uint32_t place) {
  if ((place & kSitePlace) == 0) {
    const auto [entry, added] = source_lines_.try_emplace(place);
    if (added) entry->second = source_line(place);
    return entry->second;
  }
  const Site& site = sites_[place & ~kSitePlace];
  return site.line == 0 ? site.file : std::string(base_name(site.file)) + ":" + std::to_string(site.line);
}

void RaceDetector::note_read(Cell& cell, const Mark& now) const {
  Mark& read = cell.read;
  const bool same_phase = read.phase == now.phase;
  if (!same_phase) {
    read = now;
    return;
  }
  if ((read.thread & kManyWarps) != 0) return;
  const std::uint16_t last = read.thread & kNumber;
  if (last / kWarpSize != now.thread / kWarpSize) {
    read.thread |= kManyWarps;
  } else if (read.epoch != now.epoch) {
    read = now;  // a write of this warp after the earlier epoch is ordered; one of another warp meets this read just as well
  } else if (last != now.thread) {
    read.thread |= kManyLanes;
    read.place = now.place;
  }
}

void RaceDetector::access(const void* data, std::size_t size_bytes, Access access, const void* pc, int lane) {
  Region* region = region_of(data);
  if (region == nullptr) return;
  const Thread& running = simulator().running();
  const auto number = static_cast<std::uint16_t>(lane >= 0 ? running.number / kWarpSize * kWarpSize + lane : running.number);
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(data) - region->begin);
  const bool atomic = access == Access::kAtomic;
  Mark now{phase_, number, running.warp_epoch, place_of(pc, lane)};
  for (std::size_t i = offset; i < std::min(offset + size_bytes, region->size_bytes); ++i) {
    Cell& cell = region->cells[i];
    Page& page = region->pages[i / kPageBytes];
    page.streams |= stream_bit();
    if (page.write.phase > cell.write.phase) cell.write = page.write;
    if (page.read.phase > cell.read.phase) cell.read = page.read;
    const char* what = atomic ? "atomic" : access == Access::kWrite ? "write" : "read";
    if (region->shared && access == Access::kRead && cell.write.phase < block_phase_) {
      simulator().record_here("read of shared memory that no thread of the block has written, by thread " +
                              std::to_string(number) + " at " + describe(now.place));
      simulator().abandon();
    }
    if (const Conflict conflict = unordered(*region, cell.write, number, now.epoch);
        conflict != Conflict::kNone && !(atomic && (cell.write.thread & kAtomic) != 0)) {
      report(*region, i, what, now, (cell.write.thread & kAtomic) != 0 ? "atomic" : "write", cell.write, conflict);
      simulator().abandon();
    }
    if (access == Access::kRead) {
      note_read(cell, now);
      continue;
    }
    if (const Conflict conflict = unordered(*region, cell.read, number, now.epoch); conflict != Conflict::kNone) {
      report(*region, i, what, now, "read", cell.read, conflict);
      simulator().abandon();
    }
    cell.write = now;
    if (atomic) cell.write.thread |= kAtomic;
  }
  const int preempt_log2 = simulator().schedule().preempt_log2;
  if (preempt_log2 > 0 && lane < 0 && (simulator().random().next() & ((1U << preempt_log2) - 1)) == 0) simulator().yield();
}

bool RaceDetector::transfer_bytes(Region& region, std::size_t begin, std::size_t end, Access access, const Mark& now,
                                  const char* name) {
  const auto over = [&](const Mark& mark) { return mark.phase == 0 || mark.phase >= task_phase_ || task_is_over(mark.phase); };
  for (std::size_t i = begin; i < end; ++i) {
    Cell& cell = region.cells[i];
    const Mark* conflict = !over(cell.write) ? &cell.write : access != Access::kRead && !over(cell.read) ? &cell.read : nullptr;
    if (conflict != nullptr) {
      report(region, i, name, now, conflict == &cell.write ? "write" : "read", *conflict, Conflict::kStream);
      return false;
    }
    (access == Access::kRead ? cell.read : cell.write) = now;
  }
  return true;
}

void RaceDetector::transfer(const void* data, std::size_t size_bytes, Access access, const char* name) {
  Region* region = region_of(data);
  if (region == nullptr || !enabled_) return;
  const auto over = [&](const Mark& mark) { return mark.phase == 0 || mark.phase >= task_phase_ || task_is_over(mark.phase); };
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(data) - region->begin);
  const std::size_t last = std::min(offset + size_bytes, region->size_bytes);
  const Mark now{phase_, kHost, 0, place_of(Site{name, 0})};
  for (std::size_t begin = offset; begin < last;) {
    Page& page = region->pages[begin / kPageBytes];
    const std::size_t end = std::min((begin / kPageBytes + 1) * kPageBytes, last);
    for (const Mark* mark : {&page.write, &page.read}) {
      if (over(*mark) || (mark == &page.read && access == Access::kRead)) continue;
      return report(*region, begin, name, now, mark == &page.write ? "write" : "read", *mark, Conflict::kStream);
    }
    const bool others_used_it = (page.streams & ~stream_bit()) != 0;
    if (end - begin < kPageBytes || others_used_it) {
      if (!transfer_bytes(*region, begin, end, access, now, name)) return;
      page.streams |= stream_bit();
    } else if (access == Access::kRead) {
      page.read = now;
    } else {
      page.write = now;
      page.streams = 0;
    }
    begin = end;
  }
}

void RaceDetector::report(const Region& region, std::size_t offset, const char* what, const Mark& now, const char* earlier_what,
                          const Mark& earlier, Conflict conflict) {
  const std::string memory = region.shared ? "shared" : "device";
  std::string message = "race on " + memory + " memory (byte " + std::to_string(offset) + "): " + what;
  if (now.thread != kHost) message += " by thread " + std::to_string(now.thread) + " at " + describe(now.place);
  message += ", not ordered with " + std::string(earlier_what);
  if (conflict == Conflict::kStream) {
    message += " by earlier work of another stream at " + describe(earlier.place) + ": no event or synchronisation between";
  } else if (conflict == Conflict::kBlock) {
    message += " by a thread of another block at " + describe(earlier.place);
  } else {
    message += " by thread " + std::to_string(earlier.thread & kNumber);
    if ((earlier.thread & (kManyLanes | kManyWarps)) != 0) message += " (and others)";
    message += " at " + describe(earlier.place);
  }
  if (now.thread != kHost) {
    simulator().record_here(message);
  } else {
    simulator().record(message);
  }
}

}  // namespace virgil::simt
