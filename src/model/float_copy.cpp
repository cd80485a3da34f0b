#include "virgil/model/float_copy.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "virgil/base/bfloat16.h"
#include "virgil/base/error.h"

namespace virgil {

namespace {

/// Elements converted at a time: no second copy of a model exists on the host.
constexpr std::int64_t kPiece = std::int64_t{1} << 18;

/// body(begin, count) for each piece of `num_elements`.
template <typename Body>
void for_each_piece(std::int64_t num_elements, const Body& body) {
  for (std::int64_t begin = 0; begin < num_elements; begin += kPiece) body(begin, std::min(kPiece, num_elements - begin));
}

template <typename Half>
void copy_to(Backend& backend, TensorView dst, std::span<const float> values) {
  std::vector<Half> stored;
  for_each_piece(dst.num_elements(), [&](std::int64_t begin, std::int64_t count) {
    const auto piece = values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
    stored.resize(piece.size());
    std::ranges::transform(piece, stored.begin(), [](float value) { return Half(value); });
    backend.copy_from_host(dst.slice(begin, {count}), std::as_bytes(std::span(stored)));
  });
}

template <typename Half>
void copy_from(Backend& backend, std::span<float> values, ConstTensorView src) {
  std::vector<Half> stored;
  for_each_piece(src.num_elements(), [&](std::int64_t begin, std::int64_t count) {
    stored.resize(static_cast<std::size_t>(count));
    backend.copy_to_host(std::as_writable_bytes(std::span(stored)), src.slice(begin, {count}));
    std::ranges::transform(stored, values.begin() + begin, [](Half value) { return static_cast<float>(value); });
  });
}

}  // namespace

void copy_floats_to_device(Backend& backend, TensorView dst, std::span<const float> values) {
  VIRGIL_CHECK(dst.num_elements() == std::ssize(values), "{} values for {} elements", values.size(), dst.num_elements());
  if (dst.dtype() == DType::kBFloat16) return copy_to<BFloat16>(backend, dst, values);
  if (dst.dtype() == DType::kFloat16) return copy_to<Float16>(backend, dst, values);
  backend.copy_from_host(dst, std::as_bytes(values));
}

void copy_floats_to_host(Backend& backend, std::span<float> values, ConstTensorView src) {
  VIRGIL_CHECK(src.num_elements() == std::ssize(values), "{} elements for {} values", src.num_elements(), values.size());
  if (src.dtype() == DType::kBFloat16) return copy_from<BFloat16>(backend, values, src);
  if (src.dtype() == DType::kFloat16) return copy_from<Float16>(backend, values, src);
  backend.copy_to_host(std::as_writable_bytes(values), src);
}

}  // namespace virgil
