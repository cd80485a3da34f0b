#include "virgil/memory/memory_resource.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <numeric>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"

namespace virgil {

namespace {

constexpr std::int64_t kHugePageBytes = std::int64_t{2} << 20;

/// mmap keeps large blocks apart from the heap: their pages go back to the system at once, and resident bytes follow the plan.
bool is_mapped(std::int64_t size_bytes) { return size_bytes >= kHugePageBytes; }

[[noreturn]] void refuse(std::int64_t size_bytes, const AllocationTag& tag) {
  throw OutOfMemoryError(fmt::format("the system refused {} bytes for {} ({}): free memory or choose a smaller batch_size",
                                     size_bytes, tag.name, name_of(tag.category)));
}

}  // namespace

std::string_view name_of(MemoryCategory category) {
  switch (category) {
    case MemoryCategory::kWeights:
      return "weights";
    case MemoryCategory::kMasterWeights:
      return "master_weights";
    case MemoryCategory::kGradients:
      return "gradients";
    case MemoryCategory::kOptimizer:
      return "optimizer";
    case MemoryCategory::kActivations:
      return "activations";
    case MemoryCategory::kLogits:
      return "logits";
    case MemoryCategory::kWorkspace:
      return "workspace";
    case MemoryCategory::kData:
      return "data";
  }
  return "unknown";
}

std::int64_t BytesByCategory::total() const { return std::accumulate(bytes_.begin(), bytes_.end(), std::int64_t{0}); }

void* HostMemoryResource::allocate(std::int64_t size_bytes, const AllocationTag& tag) {
  VIRGIL_CHECK(size_bytes > 0, "{} bytes for {}", size_bytes, tag.name);
  const auto size = static_cast<std::size_t>(size_bytes);
  if (is_mapped(size_bytes)) {
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) refuse(size_bytes, tag);
    madvise(data, size, MADV_HUGEPAGE);  // advice only: a kernel without huge pages serves small ones
    return data;
  }
  void* data = std::aligned_alloc(kAlignment, static_cast<std::size_t>(round_up(size_bytes, kAlignment)));
  if (data == nullptr) refuse(size_bytes, tag);
  return data;
}

void HostMemoryResource::deallocate(void* data, std::int64_t size_bytes, const AllocationTag&) noexcept {
  if (is_mapped(size_bytes)) {
    munmap(data, static_cast<std::size_t>(size_bytes));
  } else {
    std::free(data);
  }
}

}  // namespace virgil
