#include "model/blocks/mlp.h"

#include <string>
#include <string_view>

#include "virgil/ops/gelu.h"
#include "virgil/ops/glu.h"
#include "virgil/ops/matmul.h"
#include "virgil/ops/relu_squared.h"

namespace virgil {

void Mlp::declare(ParameterTable& table) {
  using enum Symbol;
  const ModuleNames& names = table.names();
  const auto linear = [&](std::string_view module, Symbol inputs, Symbol outputs, float init_std) {
    Linear::declare(table, TensorGroup::kMlp, module_path(names.mlp, module), inputs, outputs, table.model().biases.mlp,
                    init_std);
  };
  CausalConv::declare(table, TensorGroup::kMlp, names.mlp);
  if (is_gated(table.model().mlp)) {
    Linear::declare_joined(table, TensorGroup::kMlp,
                           {{module_path(names.mlp, names.gate), kF}, {module_path(names.mlp, names.up), kF}}, kC,
                           table.model().biases.mlp);
  } else {
    linear(names.up, kC, kF, ParameterTable::usual_std());
  }
  linear(names.down, kF, kC, table.residual_std());
}

namespace {

GluGate gate_of(MlpKind kind) { return kind == MlpKind::kSwiGlu ? GluGate::kSilu : GluGate::kGelu; }

/// The product to the width d_ff, or to gate and up side by side.
Linear up_of(Recorder& recorder, const std::string& mlp) {
  const ModuleNames& names = recorder.names();
  const std::string up = module_path(mlp, names.up);
  if (!is_gated(recorder.model().mlp)) return {recorder, up};
  return {recorder, module_path(mlp, names.gate) + " + " + std::string(names.up), {module_path(mlp, names.gate), up}};
}

}  // namespace

Mlp::Mlp(Recorder& recorder, const std::string& name)
    : name_(name),
      kind_(recorder.model().mlp),
      conv_(recorder, module_path(name, recorder.names().convolution)),
      up_(up_of(recorder, name)),
      down_(recorder, module_path(name, recorder.names().down)) {}

TensorView Mlp::forward(Recorder& recorder, const ConstTensorView& x) { return products(recorder, conv_.forward(recorder, x)); }

TensorView Mlp::decode(Recorder& recorder, const ConstTensorView& x, const TensorView& inputs) {
  return products(recorder, conv_.decode(recorder, x, inputs));
}

TensorView Mlp::products(Recorder& recorder, const ConstTensorView& x) {
  hidden_ = up_.forward(recorder, x, Recompute::kBlock);
  const TensorView act = recorder.activation(name_ + ".act", recorder.model().d_ff, Recompute::kGelu);
  if (is_gated(kind_)) {
    recorder.tape().add(ops::GluForward{.out = act, .inp = hidden_, .act = gate_of(kind_)});
  } else if (kind_ == MlpKind::kReluSquared) {
    recorder.tape().add(ops::ReluSquaredForward{.out = act, .inp = hidden_});
  } else {
    recorder.tape().add(ops::GeluForward{.out = act, .inp = hidden_});
  }
  act_ = act;
  return down_.forward(recorder, act, Recompute::kBlock);
}

TensorView Mlp::backward(Recorder& recorder, const ConstTensorView& x, const StreamGradient& dstream,
                         const Dropout& dropout) const {
  Tape& tape = recorder.tape();
  // What is made again is made first: then the branch's gradient does not live meanwhile.
  const ConstTensorView act = tape.read(act_);
  const ConstTensorView dbranch = dstream.of_branch(recorder, down_.name(), dropout);
  // The weight's gradient first: it is the last reader of the activation's output, whose bytes the next gradient may then take.
  down_.backward_weight(recorder, act, dbranch);
  const TensorView dhidden = backward_to_hidden(recorder, dbranch);
  up_.backward_weight(recorder, tape.read(conv_.out()), dhidden);
  return conv_.backward(recorder, x, up_.backward_input(recorder, name_ + ".inp.grad", dhidden));
}

TensorView Mlp::backward_to_hidden(Recorder& recorder, const ConstTensorView& dbranch) const {
  Tape& tape = recorder.tape();
  if (kind_ == MlpKind::kGelu && !down_.is_turned()) {
    const ConstTensorView hidden = tape.read(hidden_);
    const TensorView dhidden = recorder.activation(up_.name() + ".grad", hidden.shape()[-1]);
    tape.add(ops::MatmulGeluBackward{.dinp = dhidden, .dout = dbranch, .weight = down_.weight(), .hidden = hidden});
    return dhidden;
  }
  if (is_gated(kind_)) {
    const TensorView dact = down_.backward_input(recorder, name_ + ".act.grad", dbranch);
    const ConstTensorView hidden = tape.read(hidden_);
    const TensorView dhidden = recorder.activation(up_.name() + ".grad", hidden.shape()[-1]);
    tape.add(ops::GluBackward{.dinp = dhidden, .dout = dact, .inp = hidden, .act = gate_of(kind_)});
    return dhidden;
  }
  const TensorView dhidden = down_.backward_input(recorder, up_.name() + ".grad", dbranch);
  if (kind_ == MlpKind::kReluSquared) {
    tape.add(ops::ReluSquaredBackward{.dinp = dhidden, .dout = dhidden, .inp = tape.read(hidden_)});
  } else {
    tape.add(ops::GeluBackward{.dinp = dhidden, .dout = dhidden, .inp = tape.read(hidden_)});
  }
  return dhidden;
}

}  // namespace virgil
