// Between a flat buffer on the device and the tensors of a safetensors file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/format/safetensors.h"
#include "virgil/model/memory_plan.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"

namespace virgil {

/// Copies the units from `first` on of a flat buffer (FlatTensor), as many as `dst` has room for, to the host.
using FlatReader = std::function<void(std::span<std::byte> dst, std::int64_t first)>;

/// One source for each parameter of `layout`, named prefix + its name, in its stored shape and in `dtype`. The sources read
/// through `read`, which gives elements of that type, when they are written: in the order of the layout's parameters, and each
/// from its beginning to its end.
[[nodiscard]] std::vector<TensorSource> parameter_sources(const ParameterLayout& layout, const std::string& prefix, DType dtype,
                                                          const FlatReader& read);

/// Fills `flat`, the whole or a part, from a file's tensors named prefix + the parameter's name, all of `dtype`: that of
/// `flat`, or float32, which is rounded to nearest; alignment gaps and padding rows become zero. Returns whether every value
/// was kept as it is. Throws UserError when a tensor is missing, not of `dtype` or of another shape.
bool load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     const FlatTensor& flat, DType dtype);

/// dst = values of any float type, little-endian, at any alignment, rounded to nearest where dst is narrower. Returns whether
/// every value was kept as it is.
bool upload_tensor(Backend& backend, TensorView dst, DType dtype, std::span<const std::byte> bytes);

/// A parameter's values of one optimizer state, as a checkpoint holds them.
struct StoredState {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;  // the parameter's stored_shape, or (units) of a storage with blocks
};
[[nodiscard]] StoredState stored_state(const PlannedState& state, const ParameterSpec& spec);
/// As parameter_sources(), of the parameters that a state covers.
[[nodiscard]] std::vector<TensorSource> state_sources(const ParameterLayout& layout, const PlannedState& state,
                                                      const FlatReader& read);
/// As load_parameters(), of a state in its own storage.
void load_state(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const PlannedState& state,
                const FlatTensor& flat);

/// What is held of a stored tensor that begins at unit `offset` of `flat`: upload_tensor piece by piece.
bool upload_pieces(Backend& backend, const FlatTensor& flat, std::int64_t offset, DType dtype,
                   std::span<const std::byte> bytes);

}  // namespace virgil
