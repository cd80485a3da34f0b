#include "virgil/base/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "virgil/base/error.h"

namespace virgil {

std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw user_error("{} * {} is too large: choose smaller sizes", a, b);
  return product;
}

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) throw user_error("{} + {} is too large: choose smaller sizes", a, b);
  return sum;
}

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return checked_multiply(ceil_div(value, multiple), multiple);
}

Shape::Shape(std::initializer_list<std::int64_t> sizes) : rank_(static_cast<int>(sizes.size())) {
  VIRGIL_CHECK(sizes.size() <= kMaxRank, "rank {}", sizes.size());
  VIRGIL_CHECK(std::ranges::all_of(sizes, [](std::int64_t size) { return size >= 0; }), "negative size");
  std::ranges::copy(sizes, sizes_.begin());
}

std::int64_t Shape::operator[](int axis) const {
  const int index = axis < 0 ? axis + rank_ : axis;
  VIRGIL_CHECK(index >= 0 && index < rank_, "axis {} of rank {}", axis, rank_);
  return sizes_[static_cast<std::size_t>(index)];
}

std::int64_t Shape::num_elements() const {
  std::int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product = checked_multiply(product, sizes_[static_cast<std::size_t>(axis)]);
  return product;
}

std::int64_t Shape::num_rows() const {
  std::int64_t product = 1;
  for (int axis = 0; axis + 1 < rank_; ++axis) product = checked_multiply(product, sizes_[static_cast<std::size_t>(axis)]);
  return product;
}

std::string Shape::to_string() const { return fmt::format("({})", fmt::join(sizes_.begin(), sizes_.begin() + rank_, ", ")); }

}  // namespace virgil
