#include "model/blocks/attention.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/ops/attention.h"

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
    linear(names.query, kC, kQ, biases.qkv, ParameterTable::usual_std());
    linear(names.key, kC, kKv, biases.qkv, ParameterTable::usual_std());
    linear(names.value, kC, kKv, biases.qkv, ParameterTable::usual_std());
  }
  linear(names.projection, kQ, kC, biases.projection, table.residual_std());
}

Attention::Attention(Recorder& recorder, const std::string& name, std::int64_t layer)
    : name_(name),
      num_heads_(recorder.model().num_heads),
      num_kv_heads_(recorder.model().num_kv_heads),
      dropout_(recorder.dropout(RandomPurpose::kAttentionDropout, layer)),
      conv_(recorder, module_path(name, recorder.names().convolution)),
      qkv_linear_(recorder, module_path(name, recorder.names().qkv)),
      projection_(recorder, module_path(name, recorder.names().projection)) {}

TensorView Attention::forward(Recorder& recorder, const ConstTensorView& x) {
  const auto [B, T, dtype, training] = recorder.shape();
  Tape& tape = recorder.tape();
  qkv_ = qkv_linear_.forward(recorder, conv_.forward(recorder, x), Recompute::kBlock);
  const TensorView out = recorder.activation(name_, recorder.model().query_width(), Recompute::kBlock);
  const TensorView lse = tape.tensor(
      {.name = name_ + ".lse", .dtype = DType::kFloat32, .shape = {B, num_heads_, T}, .dropped_from = Recompute::kBlock});
  tape.add(ops::AttentionForward{
      .out = out, .lse = lse, .qkv = qkv_, .num_heads = num_heads_, .dropout = dropout_, .num_kv_heads = num_kv_heads_});
  out_ = out;
  lse_ = lse;
  return projection_.forward(recorder, out, Recompute::kBlock);
}

TensorView Attention::decode(Recorder& recorder, const ConstTensorView& x, const LayerCache& cache) {
  const TensorView qkv = qkv_linear_.forward(recorder, conv_.decode(recorder, x, cache.attention_inputs), {});
  const TensorView out = recorder.activation(name_, recorder.model().query_width());
  recorder.tape().add(ops::AttentionDecode{.out = out,
                                           .k_cache = cache.keys,
                                           .v_cache = cache.values,
                                           .qkv = qkv,
                                           .num_heads = num_heads_,
                                           .num_kv_heads = num_kv_heads_});
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
                                  .num_kv_heads = num_kv_heads_});
  qkv_linear_.backward_weight(recorder, tape.read(conv_.out()), dqkv);
  return conv_.backward(recorder, x, qkv_linear_.backward_input(recorder, name_ + ".inp.grad", dqkv));
}

}  // namespace virgil
