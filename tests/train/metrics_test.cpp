#include "virgil/train/metrics.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace virgil {
namespace {

TEST(RankSteps, TheSlowestIsNamed) { EXPECT_EQ(slowest_rank({{.compute_ms = 1}, {.compute_ms = 3}, {.compute_ms = 2}}), 1U); }

TEST(ProcessMemoryFigures, ProcessMemoryIsWhatTheSystemSays) {
  const ProcessMemory memory = read_process_memory();
  EXPECT_GT(memory.rss_bytes, 0);
  EXPECT_GT(memory.peak_bytes, 0);
  std::vector<char> block(std::size_t{64} << 20, 1);
  const ProcessMemory grown = read_process_memory();
  // The block is resident; the rest of the process may have shrunk a little.
  EXPECT_GT(grown.rss_bytes, memory.rss_bytes + (std::int64_t{48} << 20)) << block.back();
  EXPECT_GE(grown.peak_bytes, memory.peak_bytes);
}

}  // namespace
}  // namespace virgil
