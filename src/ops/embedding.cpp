#include "virgil/ops/embedding.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

/// A table (rows, C) of at least min_rows rows.
void expect_table(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t channels,
                  DType dtype, std::int64_t min_rows) {
  expect_present(op, operand, view, dtype);
  VIRGIL_CHECK(view.shape().rank() == 2, "{}: {} has shape {}, expected 2 dimensions", op, operand, view.shape().to_string());
  VIRGIL_CHECK(view.shape()[1] == channels && view.shape()[0] >= min_rows, "{}: {} has shape {}, expected ({} or more, {})", op,
               operand, view.shape().to_string(), min_rows, channels);
}

double bytes_of(const ConstTensorView& view) { return static_cast<double>(view.size_bytes()); }

}  // namespace

SequenceSizes EmbeddingForward::check() const {
  const SequenceSizes sizes = expect_sequence(kName, "out", out);
  VIRGIL_CHECK(first_position >= 0, "{}: first_position is {}", kName, first_position);
  expect(kName, "tokens", tokens, {sizes.batch, sizes.length}, DType::kInt32);
  expect_table(kName, "wte", wte, sizes.channels, sizes.dtype, 1);
  if (wpe.present()) {
    expect_table(kName, "wpe", wpe, sizes.channels, sizes.dtype, checked_add(first_position, sizes.length));
  }
  expect_dropout(kName, dropout);
  return sizes;
}

Cost EmbeddingForward::cost() const { return {0, 2 * bytes_of(out) + bytes_of(tokens)}; }

SequenceSizes EmbeddingBackward::check() const {
  const SequenceSizes sizes = expect_sequence(kName, "dout", dout);
  expect(kName, "tokens", tokens, {sizes.batch, sizes.length}, DType::kInt32);
  expect_table(kName, "dwte", dwte, sizes.channels, DType::kFloat32, 1);
  if (dwpe.present()) expect_table(kName, "dwpe", dwpe, sizes.channels, DType::kFloat32, sizes.length);
  expect_dropout(kName, dropout);
  return sizes;
}

Cost EmbeddingBackward::cost() const {
  const auto [B, T, C, dtype] = check();
  const std::int64_t rows_of_tokens = std::min(B * T, dwte.shape()[0]);  // at most, that are added to
  const std::int64_t positions = dwpe.present() ? T : 0;
  const double gradient_bytes = static_cast<double>((rows_of_tokens + positions) * C * size_of(DType::kFloat32));
  return {0, bytes_of(dout) + bytes_of(tokens) + 2 * gradient_bytes};
}

}  // namespace virgil::ops
