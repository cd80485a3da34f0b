#include "virgil/base/spread.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace virgil {

namespace {

/// At `share` of the way from the least to the greatest.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const double below = std::floor(place);
  const auto index = static_cast<std::size_t>(below);
  const double value = sorted[index];
  return index + 1 < sorted.size() ? value + (place - below) * (sorted[index + 1] - value) : value;
}

}  // namespace

bool Spread::tells_from(double other) const { return count >= kFewestToTell && std::abs(median - other) > width(); }

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return {.count = std::ssize(values),
          .min = values.front(),
          .lower = quantile(values, 0.25),
          .median = quantile(values, 0.5),
          .upper = quantile(values, 0.75),
          .max = values.back()};
}

double median(std::vector<double> values) { return spread_of(std::move(values)).median; }

}  // namespace virgil
