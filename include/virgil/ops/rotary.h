// Rotary positions (Su et al. 2021, "RoFormer"): pairs of elements of queries and keys turn with their position.
#pragma once

#include <cstdint>
#include <string_view>

#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"
#include "virgil/ops/rotary_angles.h"

namespace virgil {

/// Rows of heads: those of queries and keys, which turn, and those of values, which do not.
struct RotarySizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t turned_heads = 0;
  std::int64_t heads = 0;
  std::int64_t head_size = 0;  // even
  DType dtype = DType::kFloat32;
};

namespace ops {

/// out, inp (B, T, (NH + 2 NKV) * HS), q, k and v side by side as attention reads them; row t stands at first_position + t.
/// With x and y the elements of a pair and a its angle: x' = scale (x cos a - y sin a), y' = scale (y cos a + x sin a). Values
/// are copied. out may be inp.
struct RotaryForward {
  static constexpr std::string_view kName = "rotary_forward";
  static constexpr std::string_view kFamily = "rotary";
  TensorView out;
  ConstTensorView inp;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;  // 0: num_heads
  std::int64_t first_position = 0;
  RotaryAngles angles = {};

  static void operands(auto& op, auto&& visit) {
    visit("out", op.out, Access::kWrite);
    visit("inp", op.inp, Access::kRead);
  }
  [[nodiscard]] RotarySizes check() const;
};

/// The way back, from first_position 0: dinp is dout turned by the negative angles. dinp may be dout.
struct RotaryBackward {
  static constexpr std::string_view kName = "rotary_backward";
  static constexpr std::string_view kFamily = "rotary";
  TensorView dinp;
  ConstTensorView dout;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  RotaryAngles angles = {};

  static void operands(auto& op, auto&& visit) {
    visit("dinp", op.dinp, Access::kWrite);
    visit("dout", op.dout, Access::kRead);
  }
  [[nodiscard]] RotarySizes check() const;
};

}  // namespace ops

}  // namespace virgil
