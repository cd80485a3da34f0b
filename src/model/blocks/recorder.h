// What the parts of a model are recorded with: the tape, the sizes of the pass, and the parameters by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/model/architecture.h"
#include "virgil/model/family.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"
#include "virgil/model/tape.h"
#include "virgil/ops/dropout.h"

namespace virgil {

struct Parameter {
  TensorView value;                     // absent: a bias of a model without biases
  const ParameterSpec* spec = nullptr;  // of the layout; of several that are one tensor the first
};

/// Rows of a pass: (B, T), or S sequences of n new rows.
struct PassShape {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  DType dtype = DType::kFloat32;
  bool training = false;

  [[nodiscard]] std::int64_t rows() const { return checked_multiply(batch, length); }
};

/// Refers to all that it is given.
class Recorder {
 public:
  Recorder(Tape& tape, const Architecture& model, const PassShape& shape, const ParameterLayout& parameters,
           const GradientLayout& gradients)
      : tape_(tape),
        model_(model),
        shape_(shape),
        parameters_(parameters),
        gradients_(gradients),
        gradients_made_(parameters.parameters().size()) {}

  [[nodiscard]] Tape& tape() { return tape_; }
  [[nodiscard]] const Architecture& model() const { return model_; }
  [[nodiscard]] const ModuleNames& names() const { return model_.family->modules; }
  [[nodiscard]] const PassShape& shape() const { return shape_; }

  /// Of that name in a checkpoint, new tensors of the tape at each call. Throws InternalError for an unknown one.
  [[nodiscard]] Parameter parameter(const std::string& name);
  /// Those of these names, which are joined in the layout, as one tensor `name`: matrices of outputs above each other, or
  /// vectors behind each other. Throws InternalError where they do not follow one another.
  [[nodiscard]] Parameter parameters(std::string name, const std::vector<std::string>& names);
  /// Whether the module has one.
  [[nodiscard]] bool has_bias(const std::string& name) const { return parameters_.contains(name + ".bias"); }
  /// "NAME.bias", or two absent views where there is none.
  [[nodiscard]] Parameter bias_of(const std::string& name);
  /// Of a parameter, float32: one tensor however often it is asked for; absent for an absent one. Made when the backward pass
  /// first needs it, so that a forward pass has the same tensors with and without training.
  [[nodiscard]] TensorView gradient(const Parameter& parameter);
  /// (B, T, width) in the pass's type.
  [[nodiscard]] TensorView activation(std::string name, std::int64_t width,
                                      std::optional<Recompute> dropped_from = std::nullopt);
  /// A float32 number for each row.
  [[nodiscard]] TensorView statistic(std::string name, std::optional<Recompute> dropped_from = std::nullopt);
  /// A tensor that lies elsewhere than the activations: the whole slot.
  [[nodiscard]] TensorView whole_slot(std::string name, PlanSlot slot, DType dtype, const Shape& shape);
  /// Disabled in a pass without training. What changes from step to step is set when it runs.
  [[nodiscard]] Dropout dropout(RandomPurpose purpose, std::int64_t site) const;

 private:
  Tape& tape_;
  const Architecture& model_;
  PassShape shape_;
  const ParameterLayout& parameters_;
  const GradientLayout& gradients_;
  std::vector<TensorView> gradients_made_;  // by parameter of the layout; absent: not yet
};

}  // namespace virgil
