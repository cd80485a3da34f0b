#include "model/blocks/residual_norm.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/ops/norm.h"

namespace virgil {

ConstTensorView StreamGradient::of_branch(Recorder& recorder, const std::string& name, const Dropout& dropout) const {
  if (!dropout.enabled()) return sum;
  const TensorView dbranch = recorder.activation(name + ".grad", sum.shape()[-1]);
  recorder.tape().add(ops::DropoutBackward{.dinp = dbranch, .dout = sum, .dropout = dropout});
  return dbranch;
}

void Norm::declare(ParameterTable& table, TensorGroup group, std::string_view module) {
  table.add_vector(group, module_path(module, "weight"), Symbol::kC, InitKind::kOnes);
  const Architecture& model = table.model();
  const bool has_bias = model.norm == NormKind::kLayerNorm && model.biases.norm;
  if (has_bias) table.add_vector(group, module_path(module, "bias"), Symbol::kC, InitKind::kZeros);
}

Norm::Norm(Recorder& recorder, std::string name)
    : name_(std::move(name)), weight_(recorder.parameter(name_ + ".weight")), bias_(recorder.bias_of(name_)) {}

TensorView Norm::forward(Recorder& recorder, ResidualStream& stream, std::optional<Recompute> dropped_from,
                         std::optional<Recompute> statistics_dropped_from) {
  const std::int64_t C = stream.sum.shape()[-1];
  const bool joins = stream.branch.present();
  const TensorView sum = joins ? recorder.activation(stream.joined_name, C, stream.joined_dropped_from) : stream.sum;
  const TensorView out = recorder.activation(name_, C, dropped_from);
  const bool is_centred = recorder.model().norm == NormKind::kLayerNorm;
  const TensorView mean = is_centred ? recorder.statistic(name_ + ".mean", statistics_dropped_from) : TensorView{};
  const auto epsilon = static_cast<float>(recorder.model().norm_epsilon);
  const TensorView rstd = recorder.statistic(name_ + ".rstd", statistics_dropped_from);
  const ops::NormForward alone{
      .out = out, .mean = mean, .rstd = rstd, .inp = sum, .weight = weight_.value, .bias = bias_.value, .epsilon = epsilon};
  if (joins) {
    recorder.tape().add(ops::ResidualNormForward{.residual_out = sum,
                                                 .out = out,
                                                 .mean = mean,
                                                 .rstd = rstd,
                                                 .residual = stream.sum,
                                                 .branch = stream.branch,
                                                 .weight = weight_.value,
                                                 .bias = bias_.value,
                                                 .dropout = stream.dropout,
                                                 .epsilon = epsilon});
    recorder.tape().add_alternative(alone);
  } else {
    recorder.tape().add(alone);
  }
  stream = {.sum = sum, .branch = {}, .dropout = {}, .joined_name = {}, .joined_dropped_from = {}};
  sum_ = sum;
  out_ = out;
  mean_ = mean;
  rstd_ = rstd;
  return out;
}

void Norm::backward(Recorder& recorder, const StreamGradient& dstream, const ConstTensorView& dout) const {
  Tape& tape = recorder.tape();
  tape.add(ops::NormBackward{.dinp = dstream.sum,
                             .dweight = recorder.gradient(weight_),
                             .dbias = recorder.gradient(bias_),
                             .dout = dout,
                             .inp = tape.read(sum_),
                             .weight = weight_.value,
                             .mean = mean_.present() ? tape.read(mean_) : ConstTensorView{},
                             .rstd = tape.read(rstd_)});
}

}  // namespace virgil
