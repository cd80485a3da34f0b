// A causal depthwise convolution with a skip connection (So et al. 2021, "Primer"; Allen-Zhu 2025, "Canon layers"): each
// channel takes in what stood there at the K positions before.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/conv_taps.h"

namespace virgil::ops {

struct CausalConvSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  std::int64_t taps = 0;  // K, 1 to kMaxConvTaps
  DType dtype = DType::kFloat32;
};

/// out (B, T, C)[t] = inp[t] + sum over k = 1..K of weight[k - 1] * inp[t - k], channel by channel; nothing stands before a
/// sequence's first position. weight (K * C): C numbers of the position before, C of the one before that, and so on.
struct CausalConvForward {
  static constexpr std::string_view kName = "causal_conv_forward";
  static constexpr std::string_view kFamily = "causal_conv";
  TensorView out;
  ConstTensorView inp;
  ConstTensorView weight;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
    visit("weight", op.weight, Access::kRead);
  }
  [[nodiscard]] CausalConvSizes check() const;
};

/// dinp (B, T, C)[t] = dout[t] + sum over k of weight[k - 1] * dout[t + k]; dweight (K * C)[k - 1] += sum over sequences and
/// positions of inp[t] * dout[t + k].
struct CausalConvBackward {
  static constexpr std::string_view kName = "causal_conv_backward";
  static constexpr std::string_view kFamily = "causal_conv";
  TensorView dinp;
  TensorView dweight;
  ConstTensorView dout;
  ConstTensorView inp;
  ConstTensorView weight;

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dweight", op.dweight, Access::kUpdate);
    visit("dout", op.dout, Access::kRead);
    visit("inp", op.inp, Access::kRead);
    visit("weight", op.weight, Access::kRead);
  }
  [[nodiscard]] CausalConvSizes check() const;
};

/// The forward pass of new rows, inp (S, n, C), that stand at first_position and follow what cache (S, L, C) holds before it.
/// They join the cache.
struct CausalConvDecode {
  static constexpr std::string_view kName = "causal_conv_decode";
  static constexpr std::string_view kFamily = "causal_conv";
  TensorView out;
  TensorView cache;
  ConstTensorView inp;
  ConstTensorView weight;
  std::int64_t first_position = 0;

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("cache", op.cache, Access::kUpdate);
    visit("inp", op.inp, Access::kRead);
    visit("weight", op.weight, Access::kRead);
  }
  /// length is that of the new rows.
  [[nodiscard]] CausalConvSizes check() const;
  [[nodiscard]] Cost cost() const;
};

}  // namespace virgil::ops
