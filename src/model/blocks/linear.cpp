#include "model/blocks/linear.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/model/family.h"
#include "virgil/ops/matmul.h"

namespace virgil {

void Linear::declare(ParameterTable& table, TensorGroup group, const std::string& module, Symbol inputs, Symbol outputs,
                     bool bias, float init_std) {
  const bool turned = table.model().family->weight_order == WeightOrder::kOutputsInputs;
  table.add_matrix(group, module + ".weight", turned ? outputs : inputs, turned ? inputs : outputs, init_std);
  if (bias) table.add_vector(group, module + ".bias", outputs, InitKind::kZeros);
}

void Linear::declare_joined(ParameterTable& table, TensorGroup group,
                            const std::vector<std::pair<std::string, Symbol>>& modules, Symbol inputs, bool bias) {
  VIRGIL_CHECK(table.model().family->weight_order == WeightOrder::kOutputsInputs, "{} cannot be one matrix", modules[0].first);
  for (const auto& [module, outputs] : modules) {
    table.add_matrix(group, module + ".weight", outputs, inputs, ParameterTable::usual_std());
    if (&module != &modules.front().first) table.join_last();
  }
  for (const auto& [module, outputs] : modules) {
    if (!bias) continue;
    table.add_vector(group, module + ".bias", outputs, InitKind::kZeros);
    if (&module != &modules.front().first) table.join_last();
  }
}

namespace {

bool is_turned_in(const Recorder& recorder) { return recorder.model().family->weight_order == WeightOrder::kOutputsInputs; }

std::vector<std::string> each_with(const std::vector<std::string>& modules, const char* ending) {
  std::vector<std::string> names;
  for (const std::string& module : modules) names.push_back(module + ending);
  return names;
}

}  // namespace

Linear::Linear(Recorder& recorder, std::string name)
    : name_(std::move(name)),
      is_turned_(is_turned_in(recorder)),
      weight_(recorder.parameter(name_ + ".weight")),
      bias_(recorder.bias_of(name_)) {}

Linear::Linear(Recorder& recorder, std::string name, const std::vector<std::string>& modules)
    : name_(std::move(name)),
      is_turned_(is_turned_in(recorder)),
      weight_(recorder.parameters(name_ + ".weight", each_with(modules, ".weight"))) {
  if (recorder.has_bias(modules.front())) bias_ = recorder.parameters(name_ + ".bias", each_with(modules, ".bias"));
}

TensorView Linear::forward(Recorder& recorder, const ConstTensorView& x, std::optional<Recompute> dropped_from) const {
  const TensorView y = recorder.activation(name_, weight_.value.shape()[is_turned_ ? 0 : 1], dropped_from);
  recorder.tape().add(
      ops::Matmul{.out = y, .a = x, .b = weight_.value, .bias = bias_.value, .options = {.transpose_b = is_turned_}});
  return y;
}

void Linear::backward_weight(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dy) const {
  recorder.tape().add(ops::Matmul{.out = recorder.gradient(weight_),
                                  .a = is_turned_ ? dy : x,
                                  .b = is_turned_ ? x : dy,
                                  .bias = {},
                                  .options = {.transpose_a = true, .accumulate = true}});
  if (bias_.value.present()) recorder.tape().add(ops::BiasBackward{.dbias = recorder.gradient(bias_), .dout = dy});
}

TensorView Linear::backward_input(Recorder& recorder, std::string name, const ConstTensorView& dy) const {
  const TensorView dx = recorder.activation(std::move(name), weight_.value.shape()[is_turned_ ? 1 : 0]);
  recorder.tape().add(ops::Matmul{.out = dx, .a = dy, .b = weight_.value, .bias = {}, .options = {.transpose_b = !is_turned_}});
  return dx;
}

}  // namespace virgil
