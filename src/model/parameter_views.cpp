#include "virgil/model/parameter_views.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace virgil {

ParameterViews::ParameterViews(const ModelConfig& config, const ParameterLayout& layout, TensorView flat)
    : ParameterViews(config, layout, [&](const ParameterSpec& spec) { return parameter_view(flat, spec); }) {}

ParameterViews::ParameterViews(const ModelConfig& config, const ParameterLayout& layout,
                               const std::function<TensorView(const ParameterSpec&)>& view_of) {
  const auto get = [&](const std::string& name) { return view_of(layout.find(name)); };
  const auto get_bias = [&](const std::string& name) { return config.bias() ? get(name + ".bias") : TensorView{}; };
  wte = get("transformer.wte.weight");
  wpe = get("transformer.wpe.weight");
  for (std::int64_t layer = 0; layer < config.num_layers(); ++layer) {
    const std::string prefix = fmt::format("transformer.h.{}.", layer);
    const auto weight = [&](const char* name) { return get(prefix + name + ".weight"); };
    const auto bias = [&](const char* name) { return get_bias(prefix + name); };
    blocks.push_back({.norm1_weight = weight("ln_1"),
                      .norm1_bias = bias("ln_1"),
                      .qkv_weight = weight("attn.c_attn"),
                      .qkv_bias = bias("attn.c_attn"),
                      .attention_weight = weight("attn.c_proj"),
                      .attention_bias = bias("attn.c_proj"),
                      .norm2_weight = weight("ln_2"),
                      .norm2_bias = bias("ln_2"),
                      .fc_weight = weight("mlp.c_fc"),
                      .fc_bias = bias("mlp.c_fc"),
                      .mlp_weight = weight("mlp.c_proj"),
                      .mlp_bias = bias("mlp.c_proj")});
  }
  norm_weight = get("transformer.ln_f.weight");
  norm_bias = get_bias("transformer.ln_f");
  head = config.tie_weights() ? wte : get("lm_head.weight");
}

}  // namespace virgil
