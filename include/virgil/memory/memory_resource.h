// Where bytes come from, with a name and a category on each allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace virgil {

/// What an allocation holds. The memory plan, the tracker, the step line and metrics.jsonl all speak in these.
enum class MemoryCategory : std::uint8_t {
  kWeights,
  kMasterWeights,
  kGradients,
  kOptimizer,
  kActivations,
  kLogits,
  kWorkspace,
  kData,
};
inline constexpr int kNumMemoryCategories = 8;
inline constexpr std::array<MemoryCategory, kNumMemoryCategories> kAllMemoryCategories = {
    MemoryCategory::kWeights,     MemoryCategory::kMasterWeights, MemoryCategory::kGradients, MemoryCategory::kOptimizer,
    MemoryCategory::kActivations, MemoryCategory::kLogits,        MemoryCategory::kWorkspace, MemoryCategory::kData};

/// weights, master_weights, gradients, optimizer, activations, logits, workspace, data.
[[nodiscard]] std::string_view name_of(MemoryCategory category);

/// Bytes per category.
class BytesByCategory {
 public:
  [[nodiscard]] std::int64_t& operator[](MemoryCategory category) { return bytes_[static_cast<std::size_t>(category)]; }
  [[nodiscard]] std::int64_t operator[](MemoryCategory category) const { return bytes_[static_cast<std::size_t>(category)]; }
  [[nodiscard]] std::int64_t total() const;
  friend bool operator==(const BytesByCategory&, const BytesByCategory&) = default;

 private:
  std::array<std::int64_t, kNumMemoryCategories> bytes_{};
};

/// Who asks, for the tracker and for out-of-memory messages.
struct AllocationTag {
  MemoryCategory category = MemoryCategory::kWorkspace;
  std::string name;
};

/// A source of memory on one device. Decorators (tracking, limiting) wrap another resource; they do not own it.
class MemoryResource {
 public:
  virtual ~MemoryResource() = default;
  /// `size_bytes` > 0 bytes aligned to at least alignment_bytes(); contents undefined.
  /// Throws OutOfMemoryError naming the tag and the size.
  [[nodiscard]] virtual void* allocate(std::int64_t size_bytes, const AllocationTag& tag) = 0;
  /// Gives back what allocate returned for the same size and tag. Never throws.
  virtual void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept = 0;
  [[nodiscard]] virtual std::int64_t alignment_bytes() const = 0;
};

/// Host memory: 64-byte aligned, page aligned with transparent huge pages from 2 MiB on. Holds no state.
class HostMemoryResource final : public MemoryResource {
 public:
  static constexpr std::int64_t kAlignment = 64;
  [[nodiscard]] void* allocate(std::int64_t size_bytes, const AllocationTag& tag) override;
  void deallocate(void* data, std::int64_t size_bytes, const AllocationTag& tag) noexcept override;
  [[nodiscard]] std::int64_t alignment_bytes() const override { return kAlignment; }
};

}  // namespace virgil
