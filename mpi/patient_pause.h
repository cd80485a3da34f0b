// How a thread that polls leaves the cores to those that compute.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace virgil {

/// Yields a few times, in case the wait is nearly over; then sleeps, longer and longer.
class PatientPause {
 public:
  void operator()() {
    if (++num_pauses_ <= kYields) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(sleep_);
    if (num_pauses_ % kPausesUntilLonger == 0) sleep_ = std::min(sleep_ * 2, kLongest);
  }

 private:
  static constexpr int kYields = 100;
  static constexpr int kPausesUntilLonger = 16;
  static constexpr std::chrono::microseconds kLongest{500};

  int num_pauses_ = 0;
  std::chrono::microseconds sleep_{20};
};

}  // namespace virgil
