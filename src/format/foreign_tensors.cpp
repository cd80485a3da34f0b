#include "format/foreign_tensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "format/checkpoint_format.h"
#include "format/shard_index.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/paths.h"
#include "virgil/model/parameter_table.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxIndexBytes = std::int64_t{1} << 26;
std::string head_of(const Family& family) { return module_path(family.modules.head, "weight"); }
std::string token_embedding_of(const Family& family) { return module_path(family.modules.token_embedding, "weight"); }

/// "transformer." or "model.": of the model inside the class with a head.
std::string_view prefix_of(const Family& family) {
  const std::string_view name = family.modules.token_embedding;
  return name.substr(0, name.find('.') + 1);
}

/// What torch.compile and DistributedDataParallel put before the names of the model inside them.
std::string wrapper_of(std::string_view name) {
  std::string wrapper;
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view prefix : {"_orig_mod.", "module."}) {
      if (!name.starts_with(prefix)) continue;
      wrapper += prefix;
      name.remove_prefix(prefix.size());
      more = true;
    }
  }
  return wrapper;
}

/// A GPT2Model or LlamaModel saved by itself leaves the prefix out.
std::string full_name(std::string_view name, const Family& family) {
  name.remove_prefix(wrapper_of(name).size());
  const std::string_view prefix = prefix_of(family);
  return name.starts_with(prefix) || name == head_of(family) ? std::string(name) : std::string(prefix) + std::string(name);
}

/// The matrices of a block, which GPT-2 multiplies from the right (Conv1D) and nanoGPT from the left (nn.Linear).
bool is_block_matrix(const ParameterSpec& spec) { return spec.layer >= 0 && spec.shape.rank() == 2; }

bool is_transpose(const Shape& a, const Shape& b) { return a.rank() == 2 && b.rank() == 2 && a[0] == b[1] && a[1] == b[0]; }

/// The transpose of a matrix of `shape`, in squares that stay in the cache.
std::vector<std::byte> transpose(std::span<const std::byte> bytes, const Shape& shape, std::int64_t element_bytes) {
  constexpr std::int64_t kSquare = 32;
  const std::int64_t rows = shape[0];
  const std::int64_t columns = shape[1];
  std::vector<std::byte> result(bytes.size());
  for (std::int64_t row_block = 0; row_block < rows; row_block += kSquare) {
    for (std::int64_t column_block = 0; column_block < columns; column_block += kSquare) {
      for (std::int64_t row = row_block; row < std::min(rows, row_block + kSquare); ++row) {
        for (std::int64_t column = column_block; column < std::min(columns, column_block + kSquare); ++column) {
          std::memcpy(result.data() + (column * rows + row) * element_bytes,
                      bytes.data() + (row * columns + column) * element_bytes, static_cast<std::size_t>(element_bytes));
        }
      }
    }
  }
  return result;
}

/// Weights in forms that are not read.
std::vector<std::string> other_weight_files(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    const std::string extension = entry.path().extension().string();
    const bool holds_weights = extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt" ||
                               extension == ".h5" || extension == ".msgpack" || extension == ".gguf" || extension == ".onnx";
    if (holds_weights) names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  if (names.size() > 4) names.resize(4);
  return names;
}

/// What old versions of transformers saved with every layer: the causal mask, the frequencies of rotary positions.
bool is_buffer(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias") || name.ends_with(".rotary_emb.inv_freq");
}

std::vector<SafetensorsFile> open_shards(const fs::path& directory) {
  const fs::path index_path = directory / kShardIndexFile;
  const ShardIndex index = parse_shard_index(read_file(index_path, kMaxIndexBytes), index_path.string());
  std::map<std::string, SafetensorsFile> shards;
  for (const auto& [tensor, file] : index) {
    if (shards.contains(file)) continue;
    const fs::path path = directory / file;
    std::error_code error;
    if (!fs::is_regular_file(path, error)) {
      throw user_error("{}: missing, but {} says that it holds {}; download the folder again", path.string(), kShardIndexFile,
                       quoted_excerpt(tensor));
    }
    shards.emplace(file, path);
  }
  std::map<std::string, std::set<std::string_view>> names;
  for (const auto& [file, shard] : shards) {
    for (const SafetensorsFile::Entry& entry : shard.entries()) names[file].insert(entry.name);
  }
  for (const auto& [tensor, file] : index) {
    if (names[file].contains(tensor)) continue;
    throw user_error("{}: does not hold {}, though {} says so; download the folder again", (directory / file).string(),
                     quoted_excerpt(tensor), kShardIndexFile);
  }
  std::vector<SafetensorsFile> files;
  for (auto& [file, shard] : shards) files.push_back(std::move(shard));
  return files;
}

DType float_type_of(const SafetensorsFile::Entry& entry, const std::string& directory) {
  if (entry.dtype_name == "F32") return DType::kFloat32;
  if (entry.dtype_name == "F16") return DType::kFloat16;
  if (entry.dtype_name == "BF16") return DType::kBFloat16;
  throw user_error("{}: {} is of type {}; save the model as float32, float16 or bfloat16", directory, entry.name,
                   entry.dtype_name);
}

/// Zeros of all three float types are zero bytes, but for a sign at the end of an element.
bool is_zero(const SafetensorsFile::Entry& entry, std::int64_t element_bytes) {
  for (std::size_t i = 0; i < entry.bytes.size(); ++i) {
    const bool holds_sign = static_cast<std::int64_t>(i) % element_bytes == element_bytes - 1;
    if ((entry.bytes[i] & (holds_sign ? std::byte{0x7F} : std::byte{0xFF})) != std::byte{0}) return false;
  }
  return true;
}

}  // namespace

std::vector<SafetensorsFile> open_weight_files(const fs::path& directory) {
  std::vector<SafetensorsFile> files;
  if (path_exists(directory / kParametersFile)) {
    files.emplace_back(directory / kParametersFile);
    return files;
  }
  if (path_exists(directory / kShardIndexFile)) return open_shards(directory);
  const std::vector<std::string> others = other_weight_files(directory);
  if (others.empty()) {
    throw user_error("{}: holds neither {} nor {}; give a folder that holds the weights", directory.string(), kParametersFile,
                     kShardIndexFile);
  }
  throw user_error(
      "{}: holds neither {} nor {}; {} is of a kind that is not read (a pickle is a program as much as a file): open the model "
      "in transformers or PyTorch and save it as safetensors, with save_pretrained or safetensors.torch.save_model",
      directory.string(), kParametersFile, kShardIndexFile, fmt::join(others, ", "));
}

ForeignTensors::ForeignTensors(const std::vector<SafetensorsFile>& files, std::string directory, const Family& family)
    : directory_(std::move(directory)), family_(family) {
  for (const SafetensorsFile& file : files) {
    for (const SafetensorsFile::Entry& entry : file.entries()) {
      if (wrapper_.empty()) wrapper_ = wrapper_of(entry.name);
      const auto [known, is_new] = entries_.emplace(full_name(entry.name, family), &entry);
      if (is_new) continue;
      throw user_error("{}: holds {} and {}, which are the same tensor; keep the one that is right", directory_,
                       quoted_excerpt(known->second->name), quoted_excerpt(entry.name));
    }
  }
}

const SafetensorsFile::Entry& ForeignTensors::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found != entries_.end()) return *found->second;
  const std::string held =
      entries_.empty() ? "nothing"
                       : fmt::format("{} tensors, such as {}", entries_.size(), quoted_excerpt(entries_.begin()->second->name));
  throw user_error(
      "{}: the tensor {} is missing, which the model of {} has; the files hold {}. The folder is not whole, or {} another "
      "model's",
      directory_, name, kConfigFile, held, kConfigFile);
}

StoredTensor ForeignTensors::take(const ParameterSpec& spec, bool is_linear,
                                  std::vector<std::vector<std::byte>>& converted) const {
  const SafetensorsFile::Entry& entry = find(spec.name);
  const Shape& shape = spec.stored_shape;
  const DType dtype = float_type_of(entry, directory_);
  const bool is_turned = is_linear && is_block_matrix(spec);
  if (is_turned ? !is_transpose(entry.shape, shape) : entry.shape != shape) {
    throw user_error("{}: {} is {}, but {} asks for {}{}; the folder holds files of different models", directory_,
                     quoted_excerpt(entry.name), entry.shape.to_string(), kConfigFile, shape.to_string(),
                     is_turned ? ", transposed as the other matrices" : "");
  }
  if (!is_turned) return {spec.name, dtype, shape, entry.bytes};
  converted.push_back(transpose(entry.bytes, entry.shape, size_of(dtype)));
  return {spec.name, dtype, shape, converted.back()};
}

/// Told by a matrix that is never square: the one of query, key and value.
bool ForeignTensors::is_linear_layout() const {
  if (family_.weight_order == WeightOrder::kOutputsInputs) return false;
  const ModuleNames& names = family_.modules;
  const auto found = entries_.find(fmt::format("{}.0.{}.{}.weight", names.layers, names.attention, names.qkv));
  return found != entries_.end() && found->second->shape.rank() == 2 && found->second->shape[0] > found->second->shape[1];
}

std::vector<StoredTensor> ForeignTensors::select(const Architecture& model,
                                                 std::vector<std::vector<std::byte>>& converted) const {
  std::vector<StoredTensor> tensors;
  const ParameterLayout layout(model);
  const bool is_linear = is_linear_layout();
  for (const ParameterSpec& spec : layout.parameters()) tensors.push_back(take(spec, is_linear, converted));
  refuse_others(model);
  if (model.tie_weights) check_tied_head();
  return tensors;
}

bool ForeignTensors::holds_biases() const {
  return std::ranges::any_of(entries_,
                             [](const auto& entry) { return entry.first.ends_with(".bias") && !is_buffer(entry.first); });
}

std::string ForeignTensors::note() const {
  std::string note;
  if (!wrapper_.empty()) note = fmt::format("names without their \"{}\"", wrapper_);
  if (is_linear_layout())
    note += fmt::format("{}matrices transposed, as nn.Linear (nanoGPT) holds them", note.empty() ? "" : ", ");
  return note;
}

bool ForeignTensors::has_biases(const Architecture& model) const {
  return std::ranges::any_of(absent_biases(model), [&](const ExpectedTensor& bias) {
    const auto found = entries_.find(bias.name);
    return found != entries_.end() && !is_zero(*found->second, size_of(float_type_of(*found->second, directory_)));
  });
}

void ForeignTensors::refuse_others(const Architecture& model) const {
  std::set<std::string> known = {head_of(family_)};
  for (const ExpectedTensor& tensor : expected_parameters(model)) known.insert(tensor.name);
  for (const ExpectedTensor& tensor : absent_biases(model)) known.insert(tensor.name);
  for (const auto& [name, entry] : entries_) {
    if (known.contains(name) || is_buffer(name)) continue;
    throw user_error("{}: the tensor {} belongs to no {} of {} layers, as {} tells; it is another kind of model", directory_,
                     quoted_excerpt(entry->name), family_.model_type, model.num_layers, kConfigFile);
  }
}

/// Some programs save the tied head once more. One that differs is trained weights that would be dropped.
void ForeignTensors::check_tied_head() const {
  const auto found = entries_.find(head_of(family_));
  if (found == entries_.end()) return;
  const SafetensorsFile::Entry& embedding = *entries_.at(token_embedding_of(family_));
  const SafetensorsFile::Entry& head = *found->second;
  if (head.dtype_name == embedding.dtype_name && head.shape == embedding.shape &&
      std::ranges::equal(head.bytes, embedding.bytes)) {
    return;
  }
  throw user_error("{}: {} differs from {}, but {} ties them; set \"tie_word_embeddings\": false there to use both", directory_,
                   head_of(family_), embedding.name, kConfigFile);
}

}  // namespace virgil
