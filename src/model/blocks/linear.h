// A linear layer: y = x W + b, or y = x W^T + b as the model's family stores W.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/blocks/recorder.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

class Linear {
 public:
  /// W in the family's order, and with `bias` b (outputs). `module` as the table's rows are named.
  static void declare(ParameterTable& table, TensorGroup group, const std::string& module, Symbol inputs, Symbol outputs,
                      bool bias, float init_std);
  /// Several modules of the same input, a module and its outputs each, as one product: W of each is (outputs, inputs).
  static void declare_joined(ParameterTable& table, TensorGroup group,
                             const std::vector<std::pair<std::string, Symbol>>& modules, Symbol inputs, bool bias);
  /// `name` is the module's in a checkpoint.
  Linear(Recorder& recorder, std::string name);
  /// That product, whose outputs stand side by side. `name` is for people.
  Linear(Recorder& recorder, std::string name, const std::vector<std::string>& modules);

  /// y (B, T, outputs), named after the module.
  TensorView forward(Recorder& recorder, const ConstTensorView& x, std::optional<Recompute> dropped_from) const;
  /// dW += x^T dy, or dy^T x; db += the sum of dy's rows.
  void backward_weight(Recorder& recorder, const ConstTensorView& x, const ConstTensorView& dy) const;
  /// dx (B, T, inputs) = dy W^T, or dy W.
  TensorView backward_input(Recorder& recorder, std::string name, const ConstTensorView& dy) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const TensorView& weight() const { return weight_.value; }
  /// W is (outputs, inputs).
  [[nodiscard]] bool is_turned() const { return is_turned_; }

 private:
  std::string name_;
  bool is_turned_;
  Parameter weight_;
  Parameter bias_;
};

}  // namespace virgil
