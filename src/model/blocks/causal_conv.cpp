#include "model/blocks/causal_conv.h"

#include <string>
#include <string_view>
#include <utility>

#include "virgil/ops/causal_conv.h"

namespace virgil {

void CausalConv::declare(ParameterTable& table, TensorGroup group, std::string_view module) {
  if (table.model().conv_taps == 0) return;
  table.add_vector(group, module_path(module_path(module, table.names().convolution), "weight"), Symbol::kConv,
                   InitKind::kZeros);
}

CausalConv::CausalConv(Recorder& recorder, std::string name) : name_(std::move(name)) {
  if (recorder.model().conv_taps > 0) weight_ = recorder.parameter(module_path(name_, "weight"));
}

ConstTensorView CausalConv::forward(Recorder& recorder, const ConstTensorView& x) {
  out_ = x;
  if (!weight_) return x;
  // As cheap to make again as the norm that it reads.
  const TensorView out = recorder.activation(name_, x.shape()[-1], Recompute::kNorm);
  recorder.tape().add(ops::CausalConvForward{.out = out, .inp = x, .weight = weight_->value});
  out_ = out;
  return out;
}

ConstTensorView CausalConv::decode(Recorder& recorder, const ConstTensorView& x, const TensorView& cache) {
  if (!weight_) return x;
  const TensorView out = recorder.activation(name_, x.shape()[-1]);
  recorder.tape().add(ops::CausalConvDecode{.out = out, .cache = cache, .inp = x, .weight = weight_->value});
  return out;
}

TensorView CausalConv::backward(Recorder& recorder, const ConstTensorView& x, const TensorView& dy) const {
  if (!weight_) return dy;
  Tape& tape = recorder.tape();
  const ConstTensorView inp = tape.read(x);
  const TensorView dx = recorder.activation(name_ + ".inp.grad", dy.shape()[-1]);
  tape.add(ops::CausalConvBackward{
      .dinp = dx, .dweight = recorder.gradient(*weight_), .dout = dy, .inp = inp, .weight = weight_->value});
  return dx;
}

}  // namespace virgil
