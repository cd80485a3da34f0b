// The time of day, as files keep it.
#pragma once

#include <chrono>

namespace virgil {

/// Seconds since 1970, of a clock that may be set.
[[nodiscard]] inline double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace virgil
