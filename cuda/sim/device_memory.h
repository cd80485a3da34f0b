// The played device's memory: one reserved range, each allocation between red zones and full of NaN.
#pragma once

#include <cstddef>
#include <map>

namespace virgil::simt {

class RaceDetector;

/// Freed ranges are not given out again until nothing is allocated, so that a use after free is found.
class DeviceMemory {
 public:
  explicit DeviceMemory(RaceDetector& race_detector);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  /// 256-byte aligned; null when more than `capacity_bytes` would be in use.
  [[nodiscard]] void* allocate(std::size_t size_bytes, std::size_t capacity_bytes);
  /// Whether this was an allocation.
  bool free(void* data);
  [[nodiscard]] std::size_t used_bytes() const { return used_bytes_; }
  [[nodiscard]] bool contains(const void* data, std::size_t size_bytes) const;

 private:
  std::byte* memory_ = nullptr;
  std::size_t top_ = 0;
  std::size_t used_bytes_ = 0;
  std::map<std::byte*, std::size_t> live_;
};

}  // namespace virgil::simt
