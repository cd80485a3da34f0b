// What attention and the MLP may begin with: a causal depthwise convolution of their input.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/blocks/recorder.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

/// Nothing at all in a model whose conv_taps is 0: each pass then hands on what it is given. Its weights begin as zeros, with
/// which the convolution changes nothing either.
class CausalConv {
 public:
  static void declare(ParameterTable& table, TensorGroup group, std::string_view module);
  /// `name` is the module's, "transformer.h.0.attn.conv".
  CausalConv(Recorder& recorder, std::string name);

  /// (B, T, C) from x (B, T, C), and what backward() reads.
  ConstTensorView forward(Recorder& recorder, const ConstTensorView& x);
  /// The same for new rows alone, which join the cache (S, L, C).
  ConstTensorView decode(Recorder& recorder, const ConstTensorView& x, const TensorView& cache);
  /// dx from dy, both (B, T, C); x as forward() was given it.
  TensorView backward(Recorder& recorder, const ConstTensorView& x, const TensorView& dy) const;

  /// What the last forward() returned.
  [[nodiscard]] const ConstTensorView& out() const { return out_; }

 private:
  std::string name_;
  std::optional<Parameter> weight_;
  ConstTensorView out_;
};

}  // namespace virgil
