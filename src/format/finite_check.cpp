#include "virgil/format/finite_check.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "format/release_pages.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/value_range.h"

namespace virgil {

namespace {

/// "[3, 17]" of element number `index`.
std::string describe_position(const Shape& shape, std::int64_t index) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    text = fmt::format("{}{}{}", index % shape[axis], text.empty() ? "" : ", ", text);
    index /= shape[axis];
  }
  return fmt::format("[{}]", text);
}

std::string describe_non_finite(const StoredTensor& tensor, const ValueRange& range) {
  return fmt::format("{} holds {} value{} of {} that {} NaN or infinite, the first at {}", tensor.name,
                     format_count(range.num_non_finite), range.num_non_finite == 1 ? "" : "s", format_count(range.num_values),
                     range.num_non_finite == 1 ? "is" : "are", describe_position(tensor.shape, range.first_non_finite));
}

std::vector<StoredTensor> tensors_of(const SafetensorsFile& file) {
  std::vector<StoredTensor> tensors;
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
      if (entry.dtype_name == safetensors_name(dtype)) tensors.push_back({entry.name, dtype, entry.shape, entry.bytes});
    }
  }
  return tensors;
}

}  // namespace

void check_finite(std::span<const StoredTensor> tensors, const std::string& where) {
  std::string first;
  std::int64_t num_others = 0;
  for (const StoredTensor& tensor : tensors) {
    const ValueRange range = find_value_range(tensor.dtype, tensor.bytes);
    if (range.is_finite()) continue;
    if (first.empty()) {
      first = describe_non_finite(tensor, range);
    } else {
      ++num_others;
    }
  }
  if (first.empty()) return;
  const std::string others =
      num_others == 0 ? std::string() : fmt::format(" ({} more tensor{} too)", num_others, num_others == 1 ? "" : "s");
  throw user_error("{}: {}{}; the model has diverged or the file is damaged: use a checkpoint from before that", where, first,
                   others);
}

void check_finite(const LoadedCheckpoint& checkpoint) {
  const std::string directory = checkpoint.directory.string();
  check_finite(tensors_of(checkpoint.parameters), directory);
  release_pages(checkpoint.parameters);
  if (!checkpoint.optimizer) return;
  check_finite(tensors_of(*checkpoint.optimizer), directory);
  release_pages(*checkpoint.optimizer);
}

void check_representable(std::span<const StoredTensor> tensors, DType dtype, const std::string& where) {
  if (dtype == DType::kFloat32) return;
  for (const StoredTensor& tensor : tensors) {
    const float largest = find_value_range(tensor.dtype, tensor.bytes).max_magnitude;
    if (largest <= largest_finite(dtype)) continue;
    throw user_error("{}: {} holds a value of {:.4g}, which becomes infinite in {}; use --dtype float32", where, tensor.name,
                     largest, name_of(dtype));
  }
}

}  // namespace virgil
