// Ops that move values and compute nothing.
#pragma once

#include <string_view>

#include "virgil/memory/tensor_view.h"
#include "virgil/ops/access.h"

namespace virgil::ops {

/// dst = 0, of any type.
struct SetZero {
  static constexpr std::string_view kName = "set_zero";
  static constexpr std::string_view kFamily = "set_zero";
  TensorView dst;

  static void operands(auto& op, auto&& visit) { visit("dst", op.dst, Access::kWrite); }
  /// Throws InternalError on an absent operand.
  void check() const;
};

/// dst = src, both on the device, of one dtype and as many elements.
struct Copy {
  static constexpr std::string_view kName = "copy";
  static constexpr std::string_view kFamily = "copy";
  TensorView dst;
  ConstTensorView src;

  static void operands(auto& op, auto&& visit) {
    visit("dst", op.dst, Access::kWrite);
    visit("src", op.src, Access::kRead);
  }
  /// Throws InternalError on a mismatch, as the check of every op does.
  void check() const;
};

/// dst = src, both of any float type and as many elements, rounded to nearest, ties to even.
struct Convert {
  static constexpr std::string_view kName = "convert";
  static constexpr std::string_view kFamily = "copy";
  TensorView dst;
  ConstTensorView src;

  static void operands(auto& op, auto&& visit) {
    visit("dst", op.dst, Access::kWrite);
    visit("src", op.src, Access::kRead);
  }
  void check() const;
};

}  // namespace virgil::ops
