#include "model/blocks/attention.h"

#include <cstdint>
#include <string>

#include "virgil/ops/attention.h"

namespace virgil {

Attention::Attention(Recorder& recorder, const std::string& name, std::int64_t layer)
    : name_(name),
      num_heads_(recorder.model().num_heads),
      dropout_(recorder.dropout(RandomPurpose::kAttentionDropout, layer)),
      qkv_linear_(recorder, name + ".c_attn"),
      projection_(recorder, name + ".c_proj") {}

TensorView Attention::forward(Recorder& recorder, const ConstTensorView& x) {
  const auto [B, T, dtype, training] = recorder.shape();
  Tape& tape = recorder.tape();
  qkv_ = qkv_linear_.forward(recorder, x, Recompute::kBlock);
  const TensorView out = recorder.activation(name_, recorder.model().embedding_dim, Recompute::kBlock);
  const TensorView lse = tape.tensor(
      {.name = name_ + ".lse", .dtype = DType::kFloat32, .shape = {B, num_heads_, T}, .dropped_from = Recompute::kBlock});
  tape.add(ops::AttentionForward{.out = out, .lse = lse, .qkv = qkv_, .num_heads = num_heads_, .dropout = dropout_});
  out_ = out;
  lse_ = lse;
  return projection_.forward(recorder, out, Recompute::kBlock);
}

TensorView Attention::decode(Recorder& recorder, const ConstTensorView& x, const KeyValueCache& cache) {
  const TensorView qkv = qkv_linear_.forward(recorder, x, {});
  const TensorView out = recorder.activation(name_, recorder.model().embedding_dim);
  recorder.tape().add(
      ops::AttentionDecode{.out = out, .k_cache = cache.keys, .v_cache = cache.values, .qkv = qkv, .num_heads = num_heads_});
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
                                  .dropout = dropout_});
  qkv_linear_.backward_weight(recorder, tape.read(x), dqkv);
  return qkv_linear_.backward_input(recorder, name_ + ".inp.grad", dqkv);
}

}  // namespace virgil
