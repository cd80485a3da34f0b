#include "model/blocks/attention.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "virgil/ops/attention.h"
#include "virgil/ops/rotary.h"

namespace virgil {

void Attention::declare(ParameterTable& table) {
  using enum Symbol;
  const ModuleNames& names = table.names();
  const Biases& biases = table.model().biases;
  const auto linear = [&](std::string_view module, Symbol inputs, Symbol outputs, bool bias, float init_std) {
    Linear::declare(table, TensorGroup::kAttention, module_path(names.attention, module), inputs, outputs, bias, init_std);
  };
  CausalConv::declare(table, TensorGroup::kAttention, names.attention);
  if (!names.qkv.empty()) {
    linear(names.qkv, kC, kQkv, biases.qkv, ParameterTable::usual_std());
  } else {
    Linear::declare_joined(table, TensorGroup::kAttention,
                           {{module_path(names.attention, names.query), kQ},
                            {module_path(names.attention, names.key), kKv},
                            {module_path(names.attention, names.value), kKv}},
                           kC, biases.qkv);
  }
  linear(names.projection, kQ, kC, biases.projection, table.residual_std());
}

namespace {

Linear qkv_of(Recorder& recorder, const std::string& attention) {
  const ModuleNames& names = recorder.names();
  if (!names.qkv.empty()) return {recorder, module_path(attention, names.qkv)};
  return {recorder,
          fmt::format("{}.{} + {} + {}", attention, names.query, names.key, names.value),
          {module_path(attention, names.query), module_path(attention, names.key), module_path(attention, names.value)}};
}

std::optional<RotaryAngles> angles_of(const Architecture& model) {
  if (model.position != PositionKind::kRotary) return std::nullopt;
  return rotary_angles(model.rotary, model.head_size, model.block_size);
}

}  // namespace

Attention::Attention(Recorder& recorder, const std::string& name, std::int64_t layer)
    : name_(name),
      num_heads_(recorder.model().num_heads),
      num_kv_heads_(recorder.model().num_kv_heads),
      window_(recorder.model().window),
      angles_(angles_of(recorder.model())),
      dropout_(recorder.dropout(RandomPurpose::kAttentionDropout, layer)),
      conv_(recorder, module_path(name, recorder.names().convolution)),
      qkv_linear_(qkv_of(recorder, name)),
      projection_(recorder, module_path(name, recorder.names().projection)) {}

TensorView Attention::forward(Recorder& recorder, const ConstTensorView& x) {
  const auto [B, T, dtype, training] = recorder.shape();
  Tape& tape = recorder.tape();
  qkv_ = turn(recorder, qkv_linear_.forward(recorder, conv_.forward(recorder, x), Recompute::kBlock));
  const TensorView out = recorder.activation(name_, recorder.model().query_width(), Recompute::kBlock);
  const TensorView lse = tape.tensor(
      {.name = name_ + ".lse", .dtype = DType::kFloat32, .shape = {B, num_heads_, T}, .dropped_from = Recompute::kBlock});
  tape.add(ops::AttentionForward{.out = out,
                                 .lse = lse,
                                 .qkv = qkv_,
                                 .num_heads = num_heads_,
                                 .dropout = dropout_,
                                 .num_kv_heads = num_kv_heads_,
                                 .window = window_});
  out_ = out;
  lse_ = lse;
  return projection_.forward(recorder, out, Recompute::kBlock);
}

TensorView Attention::turn(Recorder& recorder, const TensorView& qkv) const {
  if (!angles_) return qkv;
  const TensorView turned = recorder.activation(name_ + ".turned", qkv.shape()[-1], Recompute::kBlock);
  recorder.tape().add(ops::RotaryForward{
      .out = turned, .inp = qkv, .num_heads = num_heads_, .num_kv_heads = num_kv_heads_, .angles = *angles_});
  return turned;
}

TensorView Attention::decode(Recorder& recorder, const ConstTensorView& x, const LayerCache& cache) {
  const TensorView qkv = turn(recorder, qkv_linear_.forward(recorder, conv_.decode(recorder, x, cache.attention_inputs), {}));
  const TensorView out = recorder.activation(name_, recorder.model().query_width());
  recorder.tape().add(ops::AttentionDecode{.out = out,
                                           .k_cache = cache.keys,
                                           .v_cache = cache.values,
                                           .qkv = qkv,
                                           .num_heads = num_heads_,
                                           .num_kv_heads = num_kv_heads_,
                                           .window = window_});
  return projection_.forward(recorder, out, {});
}

TensorView Attention::backward(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dbranch) const {
  Tape& tape = recorder.tape();
  const ConstTensorView out = tape.read(out_);
  projection_.backward_weight(recorder, out, dbranch);
  const TensorView dout = projection_.backward_input(recorder, name_ + ".grad", dbranch);
  const ConstTensorView qkv = tape.read(qkv_);
  const TensorView dqkv = recorder.activation(qkv_linear_.name() + ".grad", qkv.shape()[-1]);
  tape.add(ops::AttentionBackward{.dqkv = dqkv,
                                  .dout = dout,
                                  .out = out,
                                  .qkv = qkv,
                                  .lse = tape.read(lse_),
                                  .num_heads = num_heads_,
                                  .dropout = dropout_,
                                  .num_kv_heads = num_kv_heads_,
                                  .window = window_});
  if (angles_) {
    tape.add(ops::RotaryBackward{
        .dinp = dqkv, .dout = dqkv, .num_heads = num_heads_, .num_kv_heads = num_kv_heads_, .angles = *angles_});
  }
  qkv_linear_.backward_weight(recorder, tape.read(conv_.out()), dqkv);
  return conv_.backward(recorder, x, qkv_linear_.backward_input(recorder, name_ + ".inp.grad", dqkv));
}

}  // namespace virgil
