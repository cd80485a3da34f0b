// Between a flat buffer on the device and the tensors of a safetensors file.
#pragma once

#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/train/safetensors.h"

namespace virgil {

/// One source for each parameter of `layout`, named prefix + its name, in its stored shape. The sources read from `flat`
/// (flat_elements()) when they are written; backend and memory outlive them.
[[nodiscard]] std::vector<TensorSource> parameter_sources(Backend& backend, const ParameterLayout& layout,
                                                          const std::string& prefix, TensorView flat);

/// Fills `flat` from a file's tensors named prefix + the parameter's name; alignment gaps and padding rows become zero.
/// Throws UserError when one is missing, not of the type of `flat` or of another shape.
void load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     TensorView flat);

}  // namespace virgil
