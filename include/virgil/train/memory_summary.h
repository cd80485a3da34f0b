// Plan and reality, side by side.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "virgil/memory/tracking_resource.h"
#include "virgil/model/memory_plan.h"
#include "virgil/train/metrics.h"

namespace virgil {

/// What was planned, what the engine held, and what the system says of the process.
struct MemoryComparison {
  BytesByCategory planned;
  BytesByCategory allocated;
  BytesByCategory peak;
  std::int64_t peak_bytes = 0;  // the most held at once
  ProcessMemory before;         // before the plan was allocated; zero: not known
  ProcessMemory after;
  std::optional<DeviceMemory> device;  // now, where the plan lies in a device's own memory
};

/// `before` is read_process_memory() from before the plan was allocated; the present is read now. `device` is that of the
/// backend.
[[nodiscard]] MemoryComparison compare_memory(const MemoryPlan& plan, const TrackingResource& tracker,
                                              const ProcessMemory& before, const std::optional<DeviceMemory>& device);

/// The same in two lines, for the end of a run; the table instead where plan and reality differ.
[[nodiscard]] std::vector<std::string> summarize_memory(const MemoryComparison& comparison);

/// A table by category, then what the plan cannot know (code, libraries, texts, threads), measured. Lines without line ends.
[[nodiscard]] std::vector<std::string> describe_memory(const MemoryComparison& comparison);

}  // namespace virgil
