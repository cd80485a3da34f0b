#include "virgil/train/parameter_io.h"

#include "virgil/base/error.h"

namespace virgil {

std::vector<TensorSource> parameter_sources(const ParameterLayout& layout, const std::string& prefix, DType dtype,
                                            const FlatReader& read) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : layout.parameters()) {
    const auto read_stored = [read, dtype, offset = spec.offset](std::span<std::byte> dst, std::int64_t offset_bytes) {
      read(dst, offset + offset_bytes / size_of(dtype));
    };
    sources.push_back({prefix + spec.name, dtype, spec.stored_shape, read_stored});
  }
  return sources;
}

void load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     const FlatTensor& flat) {
  const DType dtype = flat.view().dtype();
  const std::string dtype_name(safetensors_name(dtype));
  backend.set_zero(flat.view());
  for (const ParameterSpec& spec : layout.parameters()) {
    const SafetensorsFile::Entry* entry = file.find(prefix + spec.name);
    if (entry == nullptr || entry->dtype_name != dtype_name || entry->shape != spec.stored_shape) {
      throw user_error("the checkpoint's {}{} is {}, the model needs {} {}; give a checkpoint of the model's own sizes", prefix,
                       spec.name, entry == nullptr ? "missing" : entry->dtype_name + " " + entry->shape.to_string(), dtype_name,
                       spec.stored_shape.to_string());
    }
    flat.for_each_piece(spec.offset, spec.stored_shape.num_elements(), [&](std::int64_t first, TensorView piece) {
      const std::int64_t offset_bytes = (first - spec.offset) * size_of(dtype);
      backend.copy_from_host(
          piece, entry->bytes.subspan(static_cast<std::size_t>(offset_bytes), static_cast<std::size_t>(piece.size_bytes())));
    });
  }
}

}  // namespace virgil
