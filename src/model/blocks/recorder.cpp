#include "model/blocks/recorder.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace virgil {

Parameter Recorder::parameter(const std::string& name) {
  const ParameterSpec& spec = parameters_.find(name);
  const TensorView value = tape_.tensor({.name = name,
                                         .dtype = shape_.dtype,
                                         .shape = spec.shape,
                                         .slot = PlanSlot::kWeights,
                                         .offset_bytes = spec.offset * size_of(shape_.dtype)});
  return {value, &spec};
}

Parameter Recorder::parameters(std::string name, const std::vector<std::string>& names) {
  const ParameterSpec& first = parameters_.find(names.front());
  std::int64_t end = first.offset;
  std::int64_t outputs = 0;
  for (const std::string& one : names) {
    const ParameterSpec& spec = parameters_.find(one);
    VIRGIL_CHECK(spec.offset == end && spec.shape.rank() == first.shape.rank() && (&spec == &first || spec.joined),
                 "{} does not follow the parameter before it", one);
    end += spec.num_elements();
    outputs += spec.shape[0];
  }
  const Shape shape = first.shape.rank() == 2 ? Shape{outputs, first.shape[1]} : Shape{outputs};
  VIRGIL_CHECK(shape.num_elements() == end - first.offset, "{}: rows of different lengths", name);
  const TensorView value = tape_.tensor({.name = std::move(name),
                                         .dtype = shape_.dtype,
                                         .shape = shape,
                                         .slot = PlanSlot::kWeights,
                                         .offset_bytes = first.offset * size_of(shape_.dtype)});
  return {value, &first};
}

TensorView Recorder::gradient(const Parameter& parameter) {
  if (parameter.spec == nullptr) return {};
  const ParameterSpec& spec = *parameter.spec;
  TensorView& made = gradients_made_.at(static_cast<std::size_t>(&spec - parameters_.parameters().data()));
  if (made.present()) return made;
  const std::size_t bucket = parameters_.bucket_of(spec.offset);
  const std::int64_t in_bucket = spec.offset - parameters_.buckets()[bucket].offset;
  made = tape_.tensor({.name = spec.name + ".grad",
                       .dtype = DType::kFloat32,
                       .shape = parameter.value.shape(),
                       .slot = PlanSlot::kGradients,
                       .offset_bytes = (gradients_.offset_of(bucket) + in_bucket) * size_of(DType::kFloat32),
                       .bucket = static_cast<std::int64_t>(bucket)});
  return made;
}

Parameter Recorder::bias_of(const std::string& name) { return has_bias(name) ? parameter(name + ".bias") : Parameter{}; }

TensorView Recorder::activation(std::string name, std::int64_t width, std::optional<Recompute> dropped_from) {
  return tape_.tensor({.name = std::move(name),
                       .dtype = shape_.dtype,
                       .shape = {shape_.batch, shape_.length, width},
                       .dropped_from = dropped_from});
}

TensorView Recorder::statistic(std::string name, std::optional<Recompute> dropped_from) {
  return tape_.tensor(
      {.name = std::move(name), .dtype = DType::kFloat32, .shape = {shape_.rows()}, .dropped_from = dropped_from});
}

TensorView Recorder::whole_slot(std::string name, PlanSlot slot, DType dtype, const Shape& shape) {
  return tape_.tensor({.name = std::move(name), .dtype = dtype, .shape = shape, .slot = slot, .offset_bytes = 0});
}

Dropout Recorder::dropout(RandomPurpose purpose, std::int64_t site) const {
  if (!shape_.training) return {};
  return {.p = model_.dropout, .stream = {.purpose = purpose, .site = static_cast<std::uint32_t>(site)}};
}

}  // namespace virgil
