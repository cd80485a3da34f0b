#include "virgil/ops/rotary.h"

#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

RotarySizes check_heads(std::string_view op, std::string_view operand, const ConstTensorView& qkv, std::int64_t num_heads,
                        std::int64_t num_kv_heads, const RotaryAngles& angles) {
  const SequenceSizes sizes = expect_sequence(op, operand, qkv);
  const std::int64_t kv_heads = num_kv_heads == 0 ? num_heads : num_kv_heads;
  VIRGIL_CHECK(num_heads > 0 && kv_heads > 0, "{}: {} query heads, {} of keys and values", op, num_heads, kv_heads);
  const std::int64_t heads = num_heads + 2 * kv_heads;
  VIRGIL_CHECK(sizes.channels > 0 && sizes.channels % heads == 0, "{}: {} {} does not hold {} heads", op, operand,
               qkv.shape().to_string(), heads);
  const std::int64_t head_size = sizes.channels / heads;
  VIRGIL_CHECK(head_size % 2 == 0, "{}: a head of {}, which is not even", op, head_size);
  VIRGIL_CHECK(angles.pairs > 0 && angles.pairs <= kMaxRotaryPairs && 2 * angles.pairs <= head_size,
               "{}: {} pairs in a head of {}", op, angles.pairs, head_size);
  return {sizes.batch, sizes.length, num_heads + kv_heads, heads, head_size, sizes.dtype};
}

}  // namespace

RotarySizes RotaryForward::check() const {
  const RotarySizes sizes = check_heads(kName, "inp", inp, num_heads, num_kv_heads, angles);
  expect(kName, "out", out, inp.shape(), sizes.dtype);
  VIRGIL_CHECK(first_position >= 0, "{}: first position {}", kName, first_position);
  return sizes;
}

RotarySizes RotaryBackward::check() const {
  const RotarySizes sizes = check_heads(kName, "dout", dout, num_heads, num_kv_heads, angles);
  expect(kName, "dinp", dinp, dout.shape(), sizes.dtype);
  return sizes;
}

}  // namespace virgil::ops
