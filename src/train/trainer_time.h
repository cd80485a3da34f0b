// Times and intervals that the trainer's parts share.
#pragma once

#include <chrono>
#include <cstdint>

namespace virgil {

[[nodiscard]] inline double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// Whether what is done every `interval` steps is due before this step; 0: never.
[[nodiscard]] inline bool is_due(std::int64_t step, std::int64_t interval) { return interval > 0 && step % interval == 0; }

}  // namespace virgil
