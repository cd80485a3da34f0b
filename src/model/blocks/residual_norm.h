// The residual stream, and the norm that reads it: layernorm or RMSNorm.
//
// A branch joins the stream where the next norm reads the sum, in one op: h + branch and norm(h + branch) cost one pass.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/blocks/recorder.h"
#include "virgil/model/parameter_table.h"

namespace virgil {

/// What blocks hand on: a sum, and a branch that has yet to join it.
struct ResidualStream {
  TensorView sum;     // (B, T, C)
  TensorView branch;  // (B, T, C); absent: nothing is to join
  Dropout dropout;    // of the branch
  std::string joined_name;
  std::optional<Recompute> joined_dropped_from;
};

/// The stream's gradient (B, T, C), which every part of the backward pass adds to, and what of it goes back into a branch.
struct StreamGradient {
  TensorView sum;
  /// d(branch): through the dropout with which the branch joined; without one it is d(sum) itself.
  [[nodiscard]] ConstTensorView of_branch(Recorder& recorder, const std::string& name, const Dropout& dropout) const;
};

class Norm {
 public:
  /// A weight (C), and a bias where the model's norms have one.
  static void declare(ParameterTable& table, TensorGroup group, std::string_view module);
  /// `name` is the module's in a checkpoint.
  Norm(Recorder& recorder, std::string name);

  /// The branch joins the stream; returns the norm of the sum (B, T, C).
  TensorView forward(Recorder& recorder, ResidualStream& stream, std::optional<Recompute> dropped_from,
                     std::optional<Recompute> statistics_dropped_from);
  /// d(stream) += from the gradient of the output, dweight +=, dbias +=.
  void backward(Recorder& recorder, const StreamGradient& dstream, const ConstTensorView& dout) const;

  [[nodiscard]] const ConstTensorView& out() const { return out_; }

 private:
  std::string name_;
  Parameter weight_;
  Parameter bias_;
  ConstTensorView sum_, out_, mean_, rstd_;  // of the last forward(); no mean: RMSNorm
};

}  // namespace virgil
