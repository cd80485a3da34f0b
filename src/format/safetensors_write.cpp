// Writing safetensors.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/hashing_file.h"
#include "virgil/base/error.h"
#include "virgil/format/safetensors.h"

namespace virgil {
namespace {

constexpr std::int64_t kPieceBytes = std::int64_t{1} << 22;
constexpr std::size_t kAlignment = 8;  // of the data, as the reference implementation pads

}  // namespace

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "F32";
    case DType::kBFloat16:
      return "BF16";
    case DType::kFloat16:
      return "F16";
    case DType::kInt32:
      return "I32";
  }
  throw InternalError("no such dtype");
}

namespace {

std::int64_t tensor_bytes(const TensorSource& tensor) {
  return checked_multiply(tensor.shape.num_elements(), size_of(tensor.dtype));
}

std::string make_header(std::span<const TensorSource> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    VIRGIL_CHECK(!header.contains(tensor.name), "the tensor {} is given twice", tensor.name);
    std::vector<std::int64_t> sizes;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) sizes.push_back(tensor.shape[axis]);
    const std::int64_t end = checked_add(offset, tensor_bytes(tensor));
    header[tensor.name] = {{"dtype", safetensors_name(tensor.dtype)}, {"shape", sizes}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

WrittenFile write_safetensors(FileSystem& files, const std::filesystem::path& path, std::span<const TensorSource> tensors,
                              const std::map<std::string, std::string>& metadata) {
  const std::string header = make_header(tensors, metadata);
  HashingFile file(files, path);
  std::array<std::byte, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  file.append(length);
  file.append(std::as_bytes(std::span(header)));

  std::vector<std::byte> piece;
  for (const TensorSource& tensor : tensors) {
    const std::int64_t total = tensor_bytes(tensor);
    for (std::int64_t offset = 0; offset < total; offset += kPieceBytes) {
      piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, total - offset)));
      tensor.read(piece, offset);
      file.append(piece);
    }
  }
  return file.close_durably();
}

}  // namespace virgil
