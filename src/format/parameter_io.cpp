#include "virgil/format/parameter_io.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "virgil/base/bfloat16.h"
#include "virgil/base/error.h"
#include "virgil/model/float_copy.h"

namespace virgil {

namespace {

/// Elements converted at a time: no second copy of a model exists.
constexpr std::int64_t kPiece = std::int64_t{1} << 18;

template <typename Stored>
void widen(std::span<const std::byte> bytes, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Stored stored{};
    std::memcpy(&stored, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    values[i] = static_cast<float>(stored);
  }
}

void widen(DType dtype, std::span<const std::byte> bytes, std::span<float> values) {
  if (dtype == DType::kBFloat16) return widen<BFloat16>(bytes, values);
  if (dtype == DType::kFloat16) return widen<Float16>(bytes, values);
  widen<float>(bytes, values);
}

/// Reads a tensor whose bytes begin at unit `first` of the flat buffer.
std::function<void(std::span<std::byte>, std::int64_t)> read_from(const FlatReader& read, std::int64_t first, DType dtype) {
  return [read, first, dtype](std::span<std::byte> dst, std::int64_t offset_bytes) {
    read(dst, first + offset_bytes / size_of(dtype));
  };
}

std::span<const std::byte> stored_bytes(const SafetensorsFile& file, const StoredState& wanted) {
  const SafetensorsFile::Entry* entry = file.find(wanted.name);
  const std::string_view dtype_name = safetensors_name(wanted.dtype);
  if (entry != nullptr && entry->dtype_name == dtype_name && entry->shape == wanted.shape) return entry->bytes;
  throw user_error("the checkpoint's {} is {}, the model needs {} {}; give a checkpoint of the model's own sizes", wanted.name,
                   entry == nullptr ? "missing" : entry->dtype_name + " " + entry->shape.to_string(), dtype_name,
                   wanted.shape.to_string());
}

/// Whether a tensor of `dtype` holds the value; NaN counts as held.
bool holds(DType dtype, float value) {
  if (dtype == DType::kFloat32 || value != value) return true;
  return (dtype == DType::kBFloat16 ? static_cast<float>(BFloat16(value)) : static_cast<float>(Float16(value))) == value;
}

}  // namespace

std::vector<TensorSource> parameter_sources(const ParameterLayout& layout, const std::string& prefix, DType dtype,
                                            const FlatReader& read) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : layout.parameters()) {
    sources.push_back({prefix + spec.name, dtype, spec.stored_shape, read_from(read, spec.offset, dtype)});
  }
  return sources;
}

bool load_parameters(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const std::string& prefix,
                     const FlatTensor& flat, DType dtype) {
  bool exact = true;
  backend.run(ops::SetZero{flat.view()});
  for (const ParameterSpec& spec : layout.parameters()) {
    const std::span<const std::byte> bytes = stored_bytes(file, {prefix + spec.name, dtype, spec.stored_shape});
    exact = upload_pieces(backend, flat, spec.offset, dtype, bytes) && exact;
  }
  return exact;
}

StoredState stored_state(const PlannedState& state, const ParameterSpec& spec) {
  const StorageType& storage = state.extent.storage;
  if (state.extent.per == StatePer::kNeuron) return {state.stored_name(spec), storage.unit, {state.extent.units_of(spec)}};
  const Shape shape = storage.is_plain() ? spec.stored_shape : Shape{storage.units_for(spec.stored_shape.num_elements())};
  return {state.stored_name(spec), storage.unit, shape};
}

std::vector<TensorSource> state_sources(const ParameterLayout& layout, const PlannedState& state, const FlatReader& read) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : layout.parameters()) {
    if (!state.covers(spec)) continue;
    StoredState stored = stored_state(state, spec);
    const std::int64_t first = state.extent.place_of(spec);
    sources.push_back({std::move(stored.name), stored.dtype, stored.shape, read_from(read, first, stored.dtype)});
  }
  return sources;
}

void load_state(Backend& backend, const ParameterLayout& layout, const SafetensorsFile& file, const PlannedState& state,
                const FlatTensor& flat) {
  backend.run(ops::SetZero{flat.view()});
  for (const ParameterSpec& spec : layout.parameters()) {
    if (!state.covers(spec)) continue;
    const StoredState stored = stored_state(state, spec);
    upload_pieces(backend, flat, flat.extent().place_of(spec), stored.dtype, stored_bytes(file, stored));
  }
}

bool upload_pieces(Backend& backend, const FlatTensor& flat, std::int64_t offset, DType dtype,
                   std::span<const std::byte> bytes) {
  bool exact = true;
  const std::int64_t element_bytes = size_of(dtype);
  flat.for_each_piece(offset, std::ssize(bytes) / element_bytes, [&](std::int64_t first, TensorView piece) {
    const auto stored = bytes.subspan(static_cast<std::size_t>((first - offset) * element_bytes),
                                      static_cast<std::size_t>(piece.num_elements() * element_bytes));
    exact = upload_tensor(backend, piece, dtype, stored) && exact;
  });
  return exact;
}

bool upload_tensor(Backend& backend, TensorView dst, DType dtype, std::span<const std::byte> bytes) {
  if (dtype == dst.dtype()) {
    backend.copy_from_host(dst, bytes);
    return true;
  }
  bool exact = true;
  std::vector<float> values;
  for (std::int64_t first = 0; first < dst.num_elements(); first += kPiece) {
    const std::int64_t count = std::min(kPiece, dst.num_elements() - first);
    values.resize(static_cast<std::size_t>(count));
    widen(dtype, bytes.subspan(static_cast<std::size_t>(first * size_of(dtype))), values);
    exact = exact && std::ranges::all_of(values, [&](float value) { return holds(dst.dtype(), value); });
    copy_floats_to_device(backend, dst.slice(first, {count}), values);
  }
  return exact;
}

}  // namespace virgil
