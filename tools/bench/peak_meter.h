// Measures the best rates that this machine reaches, in turns with what is held against them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bench/peak_rates.h"
#include "virgil/backend/backend.h"

namespace virgil::bench {

/// A machine that others use too, or that changes its clock, has another peak a minute later. So the peak comes in slices, some
/// tens of milliseconds each, before and after every piece of work that is timed, and the work is held against the two beside
/// it.
///
/// A slice is matrix products through the backend, in the step's type and in each type that is no slower than float32, and
/// triads (a = b + s c) over arrays larger than most caches, on as many threads as the backend has; on a device with memory of
/// its own, copies. Its rates are of all its work in all its time: what else the machine does meets them as it meets a step.
class PeakMeter {
 public:
  /// Takes the memory of the operands, and chooses of a few sizes the product that is fastest. `num_threads` is what the
  /// backend was made with; 0: all that the machine offers.
  PeakMeter(Backend& backend, DType dtype, std::int64_t num_threads);
  ~PeakMeter();
  PeakMeter(const PeakMeter&) = delete;
  PeakMeter& operator=(const PeakMeter&) = delete;

  /// Runs `work` between two slices, of which the first is the one after the last work. Returns what lies between the two.
  /// Binds a workspace of its own to the backend, so `work` binds the one that it needs.
  MachinePeak around(const std::function<void()>& work);
  /// Over all slices so far.
  [[nodiscard]] PeakSpread spread() const { return spread_of_slices(slices_); }

 private:
  class Product;
  class Memory;
  void measure_slice();

  Backend& backend_;
  DType dtype_;
  std::vector<std::unique_ptr<Product>> products_;  // one a type
  std::unique_ptr<Memory> memory_;
  std::vector<MachinePeak> slices_;
};

}  // namespace virgil::bench
