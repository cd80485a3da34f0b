// The attention of a block: a convolution where the model has them, one product to queries, keys and values, which turn with
// their positions where these are rotary, causal self-attention, one product back to the stream's width.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/blocks/causal_conv.h"
#include "model/blocks/linear.h"
#include "model/blocks/residual_norm.h"
#include "virgil/ops/rotary_angles.h"

namespace virgil {

/// What generation keeps of a layer's earlier positions.
struct LayerCache {
  TensorView keys;  // (S, NKV, L, HS), as values
  TensorView values;
  TensorView attention_inputs;  // (S, L, C), as the MLP's: what convolutions read; absent without them
  TensorView mlp_inputs;
};

class Attention {
 public:
  static void declare(ParameterTable& table);
  /// `name` is the module's, "transformer.h.0.attn".
  Attention(Recorder& recorder, const std::string& name, std::int64_t layer);

  /// The branch (B, T, C) from x (B, T, C).
  TensorView forward(Recorder& recorder, const ConstTensorView& x);
  /// The same for new rows alone, which join the cache. Where they stand is set when it runs.
  TensorView decode(Recorder& recorder, const ConstTensorView& x, const LayerCache& cache);
  /// dx (B, T, C) from d(branch); x as forward() was given it.
  TensorView backward(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dbranch) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& branch_name() const { return projection_.name(); }

 private:
  /// qkv with queries and keys turned; itself where positions are not rotary.
  [[nodiscard]] TensorView turn(Recorder& recorder, const TensorView& qkv) const;

  std::string name_;
  std::int64_t num_heads_;
  std::int64_t num_kv_heads_;
  std::int64_t window_;
  std::optional<RotaryAngles> angles_;
  Dropout dropout_;
  CausalConv conv_;
  Linear qkv_linear_;
  Linear projection_;
  ConstTensorView qkv_, out_, lse_;  // of the last forward()
};

}  // namespace virgil
