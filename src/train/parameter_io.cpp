#include "virgil/train/parameter_io.h"

#include "virgil/base/error.h"

namespace virgil {

std::vector<TensorSource> parameter_sources(Backend& backend, const ParameterLayout& layout, const std::string& prefix,
                                            TensorView flat) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : layout.parameters()) {
    const TensorView stored = flat.slice(spec.offset, spec.stored_shape);
    const auto read = [&backend, stored](std::span<std::byte> dst, std::int64_t offset_bytes) {
      const std::int64_t element_bytes = size_of(stored.dtype());
      const std::int64_t num_elements = static_cast<std::int64_t>(dst.size()) / element_bytes;
      backend.copy_to_host(dst, stored.slice(offset_bytes / element_bytes, {num_elements}));
    };
    sources.push_back({prefix + spec.name, flat.dtype(), spec.stored_shape, read});
  }
  return sources;
}

void load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     TensorView flat) {
  const std::string dtype_name(safetensors_name(flat.dtype()));
  backend.set_zero(flat);
  for (const ParameterSpec& spec : layout.parameters()) {
    const SafetensorsFile::Entry* entry = file.find(prefix + spec.name);
    if (entry == nullptr || entry->dtype_name != dtype_name || entry->shape != spec.stored_shape) {
      throw user_error("the checkpoint's {}{} is {}, the model needs {} {}; give a checkpoint of the model's own sizes", prefix,
                       spec.name, entry == nullptr ? "missing" : entry->dtype_name + " " + entry->shape.to_string(), dtype_name,
                       spec.stored_shape.to_string());
    }
    backend.copy_from_host(flat.slice(spec.offset, spec.stored_shape), entry->bytes);
  }
}

}  // namespace virgil
