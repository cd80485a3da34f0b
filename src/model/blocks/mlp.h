// The MLP of a block: a convolution where the model has them, a product to the width d_ff, GELU or ReLU squared, a product back
// to the stream's width; or a gated one (SwiGLU, GeGLU), with one product to gate and up.
#pragma once

#include <string>

#include "model/blocks/causal_conv.h"
#include "model/blocks/linear.h"
#include "model/blocks/residual_norm.h"

namespace virgil {

class Mlp {
 public:
  static void declare(ParameterTable& table);
  /// `name` is the module's, "transformer.h.0.mlp".
  Mlp(Recorder& recorder, const std::string& name);

  /// The branch (B, T, C) from x (B, T, C).
  TensorView forward(Recorder& recorder, const ConstTensorView& x);
  /// The same for new rows alone; `inputs` is the convolution's cache.
  TensorView decode(Recorder& recorder, const ConstTensorView& x, const TensorView& inputs);
  /// dx (B, T, C) from d(stream), in which the branch joined with `dropout`; x as forward() was given it.
  TensorView backward(Recorder& recorder, const ConstTensorView& x, const StreamGradient& dstream,
                      const Dropout& dropout) const;

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  /// The branch from what the convolution gave.
  TensorView products(Recorder& recorder, const ConstTensorView& x);
  /// dhidden (B, T, F), or (B, T, 2 F) of gate and up, from d(branch).
  [[nodiscard]] TensorView backward_to_hidden(Recorder& recorder, const ConstTensorView& dbranch) const;

  std::string name_;
  MlpKind kind_;
  CausalConv conv_;
  Linear up_;  // with the gate before it
  Linear down_;
  ConstTensorView hidden_, act_;  // of the last forward()
};

}  // namespace virgil
