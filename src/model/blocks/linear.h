// A linear layer: y = x W + b.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/blocks/recorder.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

class Linear {
 public:
  /// W in the family's order, and with `bias` b (outputs). `module` as the table's rows are named.
  static void declare(ParameterTable& table, TensorGroup group, const std::string& module, Symbol inputs, Symbol outputs,
                      bool bias, float init_std);
  /// `name` is the module's in a checkpoint; W is (inputs, outputs).
  Linear(Recorder& recorder, std::string name);

  /// y (B, T, outputs), named after the module.
  TensorView forward(Recorder& recorder, const ConstTensorView& x, std::optional<Recompute> dropped_from) const;
  /// dW += x^T dy, db += the sum of dy's rows.
  void backward_weight(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dy) const;
  /// dx (B, T, inputs) = dy W^T.
  TensorView backward_input(Recorder& recorder, std::string name, const ConstTensorView& dy) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const TensorView& weight() const { return weight_.value; }

 private:
  std::string name_;
  Parameter weight_;
  Parameter bias_;
};

}  // namespace virgil
