#include "virgil/dist/ordered_sum.h"

#include <algorithm>
#include <array>

#include "virgil/base/error.h"

namespace virgil {

namespace {

/// Sums that stay in the first-level cache while the ranks' contributions stream by.
constexpr std::size_t kBlockElements = 2048;
/// Blocks between two calls of `between`: some tens of microseconds.
constexpr std::size_t kBlocksBetween = 16;

using Block = std::array<float, kBlockElements>;

template <typename T>
void add_block(Block& sums, bool is_first, const T* values, std::size_t count) {
  if (is_first) {
    for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<float>(values[i]);
  } else {
    for (std::size_t i = 0; i < count; ++i) sums[i] += static_cast<float>(values[i]);
  }
}

template <typename T>
void sum_block(std::span<float> own, std::size_t first, std::size_t rank, std::span<const std::byte* const> received) {
  Block sums;
  std::array<T, kBlockElements> rounded;
  for (std::size_t r = 0; r < received.size(); ++r) {
    const T* values = rounded.data();
    if (r == rank) {
      std::transform(own.begin(), own.end(), rounded.begin(), [](float value) { return T(value); });
    } else {
      values = reinterpret_cast<const T*>(received[r]) + first;
    }
    add_block(sums, r == 0, values, own.size());
  }
  std::copy_n(sums.begin(), own.size(), own.begin());
}

}  // namespace

void sum_in_rank_order(std::span<float> own, int rank, std::span<const std::byte* const> received, DType wire,
                       const std::function<void()>& between) {
  VIRGIL_CHECK(wire == DType::kFloat32 || wire == DType::kBFloat16, "summands travel as {}", name_of(wire));
  VIRGIL_CHECK(rank >= 0 && static_cast<std::size_t>(rank) < received.size(), "rank {} of {}", rank, received.size());
  const auto sum = wire == DType::kFloat32 ? sum_block<float> : sum_block<BFloat16>;
  std::size_t blocks = 0;
  for (std::size_t first = 0; first < own.size(); first += kBlockElements) {
    const std::size_t count = std::min(kBlockElements, own.size() - first);
    sum(own.subspan(first, count), first, static_cast<std::size_t>(rank), received);
    if (between && ++blocks % kBlocksBetween == 0) between();
  }
}

void round_to_bfloat16(std::span<BFloat16> out, std::span<const float> values) {
  VIRGIL_CHECK(out.size() == values.size(), "{} values into {}", values.size(), out.size());
  std::ranges::transform(values, out.begin(), [](float value) { return BFloat16(value); });
}

}  // namespace virgil
