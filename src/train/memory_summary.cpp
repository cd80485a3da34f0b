#include "virgil/train/memory_summary.h"

#include <fmt/format.h>

#include <string_view>

#include "virgil/base/format.h"

namespace virgil {

namespace {

std::string row(std::string_view name, std::int64_t planned, std::int64_t allocated, std::int64_t peak) {
  const std::string difference =
      planned == allocated ? "equal" : fmt::format("{} bytes apart", format_count(allocated - planned));
  return fmt::format("  {:<16}{:>14}{:>14}{:>14}  {}", name, format_bytes(planned), format_bytes(allocated), format_bytes(peak),
                     difference);
}

/// format_bytes knows no sign.
std::string signed_bytes(std::int64_t bytes) {
  return bytes < 0 ? fmt::format("-{}", format_bytes(-bytes)) : format_bytes(bytes);
}

void describe_device(const DeviceMemory& device, std::int64_t allocated_bytes, std::vector<std::string>& lines) {
  const std::int64_t used_bytes = device.total_bytes - device.free_bytes;
  const std::int64_t others_bytes = used_bytes - device.context_bytes - allocated_bytes;
  lines.push_back(fmt::format("  device: {} of {} used: {} by the plan, {} by the context, {} by libraries and other programs",
                              format_bytes(used_bytes), format_bytes(device.total_bytes), format_bytes(allocated_bytes),
                              format_bytes(device.context_bytes), signed_bytes(others_bytes)));
}

void describe_process(const MemoryComparison& c, std::vector<std::string>& lines) {
  if (c.after.rss_bytes == 0) return;
  lines.push_back(fmt::format("  process: {} resident now, {} at its peak", format_bytes(c.after.rss_bytes),
                              format_bytes(c.after.peak_bytes)));
  if (c.device) return;  // the plan is not in it
  if (c.before.rss_bytes == 0) {
    lines.push_back(fmt::format("  beside the plan, at the peak: {} (code, libraries, texts, threads)",
                                signed_bytes(c.after.peak_bytes - c.planned.total())));
    return;
  }
  const std::int64_t growth = c.after.rss_bytes - c.before.rss_bytes;
  const double share = 100 * (static_cast<double>(growth) / static_cast<double>(c.planned.total()) - 1);
  lines.push_back(
      fmt::format("  it grew by {} since the plan was allocated: {:+.2f} % beside the plan", signed_bytes(growth), share));
  lines.push_back(
      fmt::format("  the plan cannot know: {} before it (code, libraries, texts), {} since (threads, library buffers)",
                  format_bytes(c.before.rss_bytes), signed_bytes(growth - c.planned.total())));
}

}  // namespace

MemoryComparison compare_memory(const MemoryPlan& plan, const TrackingResource& tracker, const ProcessMemory& before,
                                const std::optional<DeviceMemory>& device) {
  return {.planned = plan.by_category(),
          .allocated = tracker.current(),
          .peak = tracker.peak(),
          .peak_bytes = tracker.peak_bytes(),
          .before = before,
          .after = read_process_memory(),
          .device = device};
}

std::vector<std::string> summarize_memory(const MemoryComparison& c) {
  const bool as_planned = c.allocated == c.planned && c.peak_bytes == c.planned.total();
  if (!as_planned) return describe_memory(c);
  std::vector<std::string> lines = {
      fmt::format("memory   {} planned, allocated and held at most: equal in each category", format_bytes(c.planned.total()))};
  if (c.device) {
    const std::int64_t used = c.device->total_bytes - c.device->free_bytes;
    const std::int64_t beside = used - c.device->context_bytes - c.planned.total();
    lines.push_back(fmt::format("         device: {} of {} used; context {}, libraries and other programs {}",
                                format_bytes(used), format_bytes(c.device->total_bytes), format_bytes(c.device->context_bytes),
                                signed_bytes(beside)));
  } else if (c.after.rss_bytes > 0 && c.before.rss_bytes > 0) {
    const std::int64_t growth = c.after.rss_bytes - c.before.rss_bytes;
    lines.push_back(fmt::format("         process: {}; the plan cannot know {} before it, {} since (code, texts, threads)",
                                format_bytes(c.after.rss_bytes), format_bytes(c.before.rss_bytes),
                                signed_bytes(growth - c.planned.total())));
  } else if (c.after.rss_bytes > 0) {
    lines.push_back(
        fmt::format("         process: {}, {} at its peak", format_bytes(c.after.rss_bytes), format_bytes(c.after.peak_bytes)));
  }
  return lines;
}

std::vector<std::string> describe_memory(const MemoryComparison& c) {
  std::vector<std::string> lines = {fmt::format("{:<18}{:>14}{:>14}{:>14}", "memory", "planned", "allocated", "peak")};
  for (const MemoryCategory category : kAllMemoryCategories) {
    if (c.planned[category] == 0 && c.allocated[category] == 0) continue;
    lines.push_back(row(name_of(category), c.planned[category], c.allocated[category], c.peak[category]));
  }
  lines.push_back(row("total", c.planned.total(), c.allocated.total(), c.peak_bytes));
  if (c.device) describe_device(*c.device, c.allocated.total(), lines);
  describe_process(c, lines);
  return lines;
}

}  // namespace virgil
