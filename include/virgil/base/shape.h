// Tensor shapes: up to four dimensions, sizes in elements, products checked against overflow.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace virgil {

/// a * b for non-negative operands; throws UserError when the product leaves int64_t.
[[nodiscard]] std::int64_t checked_multiply(std::int64_t a, std::int64_t b);
/// a + b for non-negative operands; throws UserError when the sum leaves int64_t.
[[nodiscard]] std::int64_t checked_add(std::int64_t a, std::int64_t b);
/// Smallest multiple of `multiple` that is at least `value`; checked.
[[nodiscard]] std::int64_t round_up(std::int64_t value, std::int64_t multiple);
/// Quotient rounded up, for value >= 0 and divisor > 0.
[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t value, std::int64_t divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

/// A fixed-rank shape. Rank 0 is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws InternalError on more than kMaxRank dimensions or a negative size.
  Shape(std::initializer_list<std::int64_t> sizes);

  [[nodiscard]] int rank() const { return rank_; }
  /// Size of dimension `axis`; negative axes count from the end. Throws InternalError when out of range.
  [[nodiscard]] std::int64_t operator[](int axis) const;
  /// Product of all sizes; throws UserError on overflow.
  [[nodiscard]] std::int64_t num_elements() const;
  /// Product of all sizes but the last: the rows of a (..., C) tensor.
  [[nodiscard]] std::int64_t num_rows() const;
  /// "(4, 256, 384)".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> sizes_{};
};

}  // namespace virgil
