// Brings the operands of the head that a thread computes next into its cache, a row at a time between rows of the present one.
//
// A head's rows lie far apart, 256 bytes in every few thousand, which hardware prefetchers do not follow. At T = 256 a thread
// would wait on them for a third of its time.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "backend/cpu/attention_sizes.h"

namespace virgil::cpu {

/// Rows [0, num_rows) of up to eight tensors, each row `head_size` elements of type T. Only a hint: the rows must exist, no
/// more.
template <typename T>
class RowPrefetcher {
 public:
  /// What a second-level cache has room for besides the present head.
  static constexpr std::int64_t kMaxBytes = 768 * 1024;

  /// Fetches nothing.
  RowPrefetcher() = default;
  /// Spreads the rows of `num_tensors` tensors over `num_steps` calls of step(). Fetches nothing when they are too many bytes.
  RowPrefetcher(std::int64_t num_rows, std::int64_t head_size, std::int64_t num_steps, std::int64_t num_tensors)
      : head_size_(head_size), steps_per_row_(std::max(std::int64_t{1}, num_steps / num_rows)) {
    const auto bytes = num_tensors * num_rows * head_size * static_cast<std::int64_t>(sizeof(T));
    if (bytes <= kMaxBytes) num_rows_ = num_rows;
  }

  void add_read(const HeadRows<const T>& rows) { reads_[static_cast<std::size_t>(num_reads_++)] = rows; }
  void add_write(const HeadRows<T>& rows) { writes_[static_cast<std::size_t>(num_writes_++)] = rows; }

  void step() {
    if (row_ >= num_rows_ || ++step_ < steps_per_row_) return;
    step_ = 0;
    constexpr auto kLine = static_cast<std::int64_t>(64 / sizeof(T));  // elements
    for (int i = 0; i < num_reads_; ++i) {
      const T* row = reads_[static_cast<std::size_t>(i)].row(row_);
      for (std::int64_t c = 0; c < head_size_; c += kLine) __builtin_prefetch(row + c, 0, 2);
    }
    for (int i = 0; i < num_writes_; ++i) {
      const T* row = writes_[static_cast<std::size_t>(i)].row(row_);
      for (std::int64_t c = 0; c < head_size_; c += kLine) __builtin_prefetch(row + c, 1, 2);
    }
    ++row_;
  }

 private:
  std::array<HeadRows<const T>, 5> reads_{};
  std::array<HeadRows<T>, 3> writes_{};
  int num_reads_ = 0;
  int num_writes_ = 0;
  std::int64_t num_rows_ = 0;
  std::int64_t head_size_ = 0;
  std::int64_t steps_per_row_ = 1;
  std::int64_t row_ = 0;
  std::int64_t step_ = 0;
};

}  // namespace virgil::cpu
