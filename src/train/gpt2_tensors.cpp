#include "train/gpt2_tensors.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "train/checkpoint_format.h"
#include "train/quoted_name.h"
#include "train/shard_index.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxIndexBytes = std::int64_t{1} << 26;
constexpr std::string_view kPrefix = "transformer.";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kTokenEmbedding = "transformer.wte.weight";

/// A GPT2Model saved by itself leaves the prefix out.
std::string full_name(const std::string& name) {
  return name.starts_with(kPrefix) || name == kHead ? name : std::string(kPrefix) + name;
}

/// The causal mask, which old versions of transformers saved with every layer.
bool is_mask(std::string_view name) { return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"); }

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
                       quoted_name(tensor));
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
                     quoted_name(tensor), kShardIndexFile);
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
  if (fs::exists(directory / kParametersFile)) {
    files.emplace_back(directory / kParametersFile);
    return files;
  }
  if (fs::exists(directory / kShardIndexFile)) return open_shards(directory);
  const bool is_pickled = fs::exists(directory / "pytorch_model.bin") || fs::exists(directory / "pytorch_model.bin.index.json");
  throw user_error("{}: holds neither {} nor {}; {}", directory.string(), kParametersFile, kShardIndexFile,
                   is_pickled
                       ? "pytorch_model.bin is a program as much as a file and is not read: open the model in transformers "
                         "and save it with save_pretrained"
                       : "give a folder that holds the weights");
}

Gpt2Tensors::Gpt2Tensors(const std::vector<SafetensorsFile>& files, std::string directory) : directory_(std::move(directory)) {
  for (const SafetensorsFile& file : files) {
    for (const SafetensorsFile::Entry& entry : file.entries()) {
      const auto [known, is_new] = entries_.emplace(full_name(entry.name), &entry);
      if (is_new) continue;
      throw user_error("{}: holds {} and {}, which are the same tensor; keep the one that is right", directory_,
                       quoted_name(known->second->name), quoted_name(entry.name));
    }
  }
}

StoredTensor Gpt2Tensors::take(const std::string& name, const Shape& shape) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    throw user_error("{}: the tensor {} is missing, which the model of {} has; the folder is not whole, or {} another model's",
                     directory_, name, kConfigFile, kConfigFile);
  }
  const SafetensorsFile::Entry& entry = *found->second;
  const DType dtype = float_type_of(entry, directory_);
  if (entry.shape != shape) {
    throw user_error("{}: {} is {}, but {} asks for {}; the folder holds files of different models", directory_, entry.name,
                     entry.shape.to_string(), kConfigFile, shape.to_string());
  }
  return {name, dtype, shape, entry.bytes};
}

std::vector<StoredTensor> Gpt2Tensors::select(const ModelConfig& model) const {
  std::vector<StoredTensor> tensors;
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.parameters()) tensors.push_back(take(spec.name, spec.stored_shape));
  refuse_others(model);
  if (model.tie_weights()) check_tied_head();
  return tensors;
}

bool Gpt2Tensors::has_biases(const ModelConfig& model) const {
  return std::ranges::any_of(absent_biases(model), [&](const ExpectedTensor& bias) {
    const auto found = entries_.find(bias.name);
    return found != entries_.end() && !is_zero(*found->second, size_of(float_type_of(*found->second, directory_)));
  });
}

void Gpt2Tensors::refuse_others(const ModelConfig& model) const {
  std::set<std::string> known = {kHead};
  for (const ExpectedTensor& tensor : expected_parameters(model)) known.insert(tensor.name);
  for (const ExpectedTensor& tensor : absent_biases(model)) known.insert(tensor.name);
  for (const auto& [name, entry] : entries_) {
    if (known.contains(name) || is_mask(name)) continue;
    throw user_error("{}: the tensor {} belongs to no GPT-2 of {} layers, as {} tells; it is another kind of model", directory_,
                     quoted_name(entry->name), model.num_layers(), kConfigFile);
  }
}

/// Some programs save the tied head once more. One that differs is trained weights that would be dropped.
void Gpt2Tensors::check_tied_head() const {
  const auto found = entries_.find(kHead);
  if (found == entries_.end()) return;
  const SafetensorsFile::Entry& embedding = *entries_.at(kTokenEmbedding);
  const SafetensorsFile::Entry& head = *found->second;
  if (head.dtype_name == embedding.dtype_name && head.shape == embedding.shape &&
      std::ranges::equal(head.bytes, embedding.bytes)) {
    return;
  }
  throw user_error("{}: {} differs from {}, but {} ties them; set \"tie_word_embeddings\": false there to use both", directory_,
                   kHead, embedding.name, kConfigFile);
}

}  // namespace virgil
