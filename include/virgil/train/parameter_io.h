// Between a flat buffer on the device and the tensors of a safetensors file.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"
#include "virgil/train/safetensors.h"

namespace virgil {

/// Copies the elements from `first` on of a flat buffer, as many as `dst` has room for, to the host.
using FlatReader = std::function<void(std::span<std::byte> dst, std::int64_t first)>;

/// One source for each parameter of `layout`, named prefix + its name, in its stored shape. The sources read through `read`
/// when they are written, in the order of the layout's parameters and each from its beginning to its end.
[[nodiscard]] std::vector<TensorSource> parameter_sources(const ParameterLayout& layout, const std::string& prefix, DType dtype,
                                                          const FlatReader& read);

/// Fills `flat`, the whole or a part, from a file's tensors named prefix + the parameter's name; alignment gaps and padding
/// rows become zero. Throws UserError when one is missing, not of the type of `flat` or of another shape.
void load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     const FlatTensor& flat);

}  // namespace virgil
