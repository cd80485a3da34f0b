#include "virgil/ops/causal_conv.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/ops/expectations.h"

namespace virgil::ops {

namespace {

CausalConvSizes check_input(std::string_view op, std::string_view operand, const ConstTensorView& inp,
                            const ConstTensorView& weight) {
  const SequenceSizes sizes = expect_sequence(op, operand, inp);
  VIRGIL_CHECK(sizes.channels > 0 && weight.present(), "{}: {} channels", op, sizes.channels);
  const std::int64_t taps = weight.num_elements() / sizes.channels;
  VIRGIL_CHECK(taps >= 1 && taps <= kMaxConvTaps, "{}: weight {} for {} channels", op, weight.shape().to_string(),
               sizes.channels);
  expect_count(op, "weight", weight, taps * sizes.channels, sizes.dtype);
  return {sizes.batch, sizes.length, sizes.channels, taps, sizes.dtype};
}

}  // namespace

CausalConvSizes CausalConvForward::check() const {
  const CausalConvSizes sizes = check_input(kName, "inp", inp, weight);
  expect(kName, "out", out, inp.shape(), sizes.dtype);
  return sizes;
}

CausalConvSizes CausalConvBackward::check() const {
  const CausalConvSizes sizes = check_input(kName, "inp", inp, weight);
  expect(kName, "dinp", dinp, inp.shape(), sizes.dtype);
  expect(kName, "dout", dout, inp.shape(), sizes.dtype);
  expect_count(kName, "dweight", dweight, sizes.taps * sizes.channels, DType::kFloat32);
  return sizes;
}

CausalConvSizes CausalConvDecode::check() const {
  const CausalConvSizes sizes = check_input(kName, "inp", inp, weight);
  expect(kName, "out", out, inp.shape(), sizes.dtype);
  VIRGIL_CHECK(cache.present() && cache.shape().rank() == 3, "{}: cache {} is not (S, L, C)", kName, cache.shape().to_string());
  const std::int64_t L = cache.shape()[1];
  expect(kName, "cache", cache, {sizes.batch, L, sizes.channels}, sizes.dtype);
  VIRGIL_CHECK(first_position >= 0 && first_position + sizes.length <= L, "{}: positions {} to {} leave the cache of {}", kName,
               first_position, first_position + sizes.length - 1, L);
  return sizes;
}

Cost CausalConvDecode::cost() const {
  const CausalConvSizes sizes = check();
  const double row_bytes = static_cast<double>(sizes.batch * sizes.channels * size_of(sizes.dtype));
  // Rows read and written, their copies in the cache, and what stands before them.
  return {0, row_bytes * static_cast<double>(3 * sizes.length + std::min(first_position, sizes.taps)) +
                 static_cast<double>(weight.size_bytes())};
}

}  // namespace virgil::ops
