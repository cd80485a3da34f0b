#include "virgil/ops/cross_entropy.h"

#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

RowSizes check_logits(std::string_view op, const ConstTensorView& losses, const ConstTensorView& logits,
                      const ConstTensorView& targets, std::int64_t vocab_size) {
  const RowSizes sizes = expect_rows(op, "logits", logits);
  VIRGIL_CHECK(vocab_size > 0 && vocab_size <= sizes.channels, "{}: vocab_size {} of logits {}", op, vocab_size,
               logits.shape().to_string());
  expect_count(op, "losses", losses, sizes.rows, DType::kFloat32);
  expect_count(op, "targets", targets, sizes.rows, DType::kInt32);
  return sizes;
}

}  // namespace

RowSizes CrossEntropyForward::check() const { return check_logits(kName, losses, logits, targets, vocab_size); }

RowSizes CrossEntropyForwardBackward::check() const { return check_logits(kName, losses, logits, targets, vocab_size); }

}  // namespace virgil::ops
