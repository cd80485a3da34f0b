#include "virgil/train/loss_history.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "virgil/base/error.h"

namespace virgil {

namespace {

constexpr std::size_t kMaxBuckets = 256;
constexpr double kDecay = 0.95;

}  // namespace

void LossHistory::add(double loss) {
  if (!std::isfinite(loss)) return;
  ++count_;
  smoothed_ = kDecay * smoothed_ + (1 - kDecay) * loss;
  weight_ = kDecay * weight_ + (1 - kDecay);
  if (buckets_.empty() || buckets_.back().count == per_bucket_) {
    if (buckets_.size() == kMaxBuckets) {
      for (std::size_t i = 0; i < kMaxBuckets / 2; ++i) {
        buckets_[i] = {buckets_[2 * i].sum + buckets_[2 * i + 1].sum, buckets_[2 * i].count + buckets_[2 * i + 1].count};
      }
      buckets_.resize(kMaxBuckets / 2);
      per_bucket_ *= 2;
    }
    buckets_.push_back({});
  }
  buckets_.back().sum += loss;
  ++buckets_.back().count;
}

double LossHistory::smoothed() const {
  VIRGIL_CHECK(!empty(), "no losses");
  return smoothed_ / weight_;
}

std::vector<double> LossHistory::points(std::size_t count) const {
  count = std::min(count, buckets_.size());
  std::vector<double> means;
  for (std::size_t i = 0; i < count; ++i) {
    Bucket part;
    for (std::size_t b = i * buckets_.size() / count; b < (i + 1) * buckets_.size() / count; ++b) {
      part.sum += buckets_[b].sum;
      part.count += buckets_[b].count;
    }
    means.push_back(part.sum / static_cast<double>(part.count));
  }
  return means;
}

}  // namespace virgil
