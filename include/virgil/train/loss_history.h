// The losses of a run so far, in little memory: smoothed, and as a few points to draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace virgil {

class LossHistory {
 public:
  /// Losses that are not finite are left out.
  void add(double loss);

  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// Exponential mean over about the last twenty, corrected for its start (Kingma, Ba 2015). Not empty.
  [[nodiscard]] double smoothed() const;
  /// Means of `count` equal parts of what was added, first to last; fewer where less was.
  [[nodiscard]] std::vector<double> points(std::size_t count) const;

 private:
  struct Bucket {
    double sum = 0;
    std::int64_t count = 0;
  };
  double smoothed_ = 0;
  double weight_ = 0;  // of smoothed_: 1 - decay^count
  std::int64_t count_ = 0;
  std::int64_t per_bucket_ = 1;
  std::vector<Bucket> buckets_;
};

}  // namespace virgil
