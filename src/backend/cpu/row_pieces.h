// A fixed division of rows for sums over rows: it depends on their number alone, so the sums have the same bits for any number
// of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "virgil/base/shape.h"

namespace virgil::cpu {

class RowPieces {
 public:
  static constexpr std::int64_t kMaxPieces = 64;
  static constexpr std::int64_t kMinRows = 16;

  explicit RowPieces(std::int64_t rows) : rows_(rows), rows_per_piece_(std::max(kMinRows, ceil_div(rows, kMaxPieces))) {}
  [[nodiscard]] std::int64_t count() const { return ceil_div(rows_, rows_per_piece_); }
  [[nodiscard]] std::int64_t begin(std::int64_t piece) const { return piece * rows_per_piece_; }
  [[nodiscard]] std::int64_t end(std::int64_t piece) const { return std::min(rows_, (piece + 1) * rows_per_piece_); }

 private:
  std::int64_t rows_;
  std::int64_t rows_per_piece_;
};

}  // namespace virgil::cpu
