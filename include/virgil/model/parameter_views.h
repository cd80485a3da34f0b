// Views of a flat parameter (or gradient) buffer under the names the model's code uses.
#pragma once

#include <functional>
#include <vector>

#include "virgil/memory/tensor_view.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {

struct BlockViews {
  TensorView norm1_weight, norm1_bias;          // (C)
  TensorView qkv_weight, qkv_bias;              // (C, 3C), (3C)
  TensorView attention_weight, attention_bias;  // (C, C), (C)
  TensorView norm2_weight, norm2_bias;          // (C)
  TensorView fc_weight, fc_bias;                // (C, d_ff), (d_ff)
  TensorView mlp_weight, mlp_bias;              // (d_ff, C), (C)
};

/// Biases are absent views in a model without biases. `head` is `wte` when the weights are tied.
struct ParameterViews {
  TensorView wte;  // (Vp, C)
  TensorView wpe;  // (block_size, C)
  std::vector<BlockViews> blocks;
  TensorView norm_weight, norm_bias;  // (C)
  TensorView head;                    // (Vp, C)

  /// Views of `flat` (flat_elements()), which must outlive them.
  ParameterViews(const ModelConfig& config, const ParameterLayout& layout, TensorView flat);
  /// Views that `view_of` gives, each of its parameter's shape.
  ParameterViews(const ModelConfig& config, const ParameterLayout& layout,
                 const std::function<TensorView(const ParameterSpec&)>& view_of);
};

/// One parameter of a flat buffer.
[[nodiscard]] inline TensorView parameter_view(const TensorView& flat, const ParameterSpec& spec) {
  return flat.slice(spec.offset, spec.shape);
}

}  // namespace virgil
