#include "virgil/train/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

namespace virgil {

std::size_t slowest_rank(const std::vector<RankStep>& ranks) {
  return static_cast<std::size_t>(std::ranges::max_element(ranks, {}, &RankStep::compute_ms) - ranks.begin());
}

ProcessMemory read_process_memory() {
  ProcessMemory memory;
  std::ifstream statm("/proc/self/statm");
  std::int64_t total_pages = 0;
  std::int64_t resident_pages = 0;
  if (statm >> total_pages >> resident_pages) memory.rss_bytes = resident_pages * sysconf(_SC_PAGESIZE);
  rusage usage{};
  // The system counts the peak less exactly than the present, and sometimes below it.
  if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak_bytes = std::max(memory.rss_bytes, std::int64_t{usage.ru_maxrss} * 1024);
  return memory;
}

}  // namespace virgil
