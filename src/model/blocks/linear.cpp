#include "model/blocks/linear.h"

#include <optional>
#include <string>
#include <utility>

#include "virgil/model/family.h"
#include "virgil/ops/matmul.h"

namespace virgil {

void Linear::declare(ParameterTable& table, TensorGroup group, const std::string& module, Symbol inputs, Symbol outputs,
                     bool bias, float init_std) {
  const bool turned = table.model().family->weight_order == WeightOrder::kOutputsInputs;
  table.add_matrix(group, module + ".weight", turned ? outputs : inputs, turned ? inputs : outputs, init_std);
  if (bias) table.add_vector(group, module + ".bias", outputs, InitKind::kZeros);
}

Linear::Linear(Recorder& recorder, std::string name)
    : name_(std::move(name)), weight_(recorder.parameter(name_ + ".weight")), bias_(recorder.bias_of(name_)) {}

TensorView Linear::forward(Recorder& recorder, const ConstTensorView& x, std::optional<Recompute> dropped_from) const {
  const TensorView y = recorder.activation(name_, weight_.value.shape()[1], dropped_from);
  recorder.tape().add(ops::Matmul{.out = y, .a = x, .b = weight_.value, .bias = bias_.value});
  return y;
}

void Linear::backward_weight(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dy) const {
  recorder.tape().add(ops::Matmul{
      .out = recorder.gradient(weight_), .a = x, .b = dy, .bias = {}, .options = {.transpose_a = true, .accumulate = true}});
  if (bias_.value.present()) recorder.tape().add(ops::BiasBackward{.dbias = recorder.gradient(bias_), .dout = dy});
}

TensorView Linear::backward_input(Recorder& recorder, std::string name, const ConstTensorView& dy) const {
  const TensorView dx = recorder.activation(std::move(name), weight_.value.shape()[0]);
  recorder.tape().add(ops::Matmul{.out = dx, .a = dy, .b = weight_.value, .bias = {}, .options = {.transpose_b = true}});
  return dx;
}

}  // namespace virgil
