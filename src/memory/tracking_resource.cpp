#include "virgil/memory/tracking_resource.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

void* TrackingResource::allocate(std::int64_t size_bytes, const AllocationTag& tag) {
  void* data = nullptr;
  try {
    data = upstream_.allocate(size_bytes, tag);
  } catch (const OutOfMemoryError& error) {
    throw OutOfMemoryError(fmt::format("{}\nheld now, {} bytes in all:\n{}", error.what(), current_.total(), describe()));
  }
  live_.emplace(data, Holder{tag, size_bytes});
  current_[tag.category] += size_bytes;
  peak_[tag.category] = std::max(peak_[tag.category], current_[tag.category]);
  peak_bytes_ = std::max(peak_bytes_, current_.total());
  ++num_allocations_;
  return data;
}

void TrackingResource::deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept {
  live_.erase(data);
  current_[tag.category] -= size_bytes;
  upstream_.deallocate(data, size_bytes, tag);
}

std::string TrackingResource::describe() const {
  std::vector<const Holder*> holders;
  for (const auto& [data, holder] : live_) holders.push_back(&holder);
  std::ranges::sort(holders, [](const Holder* a, const Holder* b) { return a->size_bytes > b->size_bytes; });
  std::string text;
  for (const Holder* holder : holders) {
    text += fmt::format("  {:<15} {:<24} {:>12.1f} MiB\n", name_of(holder->tag.category), holder->tag.name,
                        static_cast<double>(holder->size_bytes) / (1 << 20));
  }
  return text;
}

}  // namespace virgil
