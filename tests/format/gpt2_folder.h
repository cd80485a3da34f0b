// A GPT-2 directory as Hugging Face has it, small enough for tests, in which every part can be changed before it is written.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"
#include "support/unsynced_file_system.h"
#include "virgil/format/safetensors.h"
#include "virgil/model/parameter_layout.h"

namespace virgil::test_support {

class Gpt2Folder {
 public:
  struct Tensor {
    DType dtype = DType::kFloat32;
    Shape shape;
    float scale = 1;      // 0: all zero
    bool turned = false;  // `shape` is that of the transpose, which is what the file holds
  };

  /// L 2, H 2, C 16, T 8, tied, with biases.
  explicit Gpt2Folder(std::filesystem::path path, std::int64_t vocab_size = 256) : path_(std::move(path)) {
    config = {{"model_type", "gpt2"}, {"n_layer", 2},     {"n_head", 2},
              {"n_embd", 16},         {"n_positions", 8}, {"vocab_size", vocab_size}};
    const ParameterLayout layout{trainable({.num_layers = 2,
                                            .num_heads = 2,
                                            .embedding_dim = 16,
                                            .block_size = 8,
                                            .vocab_size = vocab_size,
                                            .biases = kAllBiases})};
    for (const ParameterSpec& spec : layout.parameters()) tensors[spec.name] = {.shape = spec.stored_shape};
    std::filesystem::create_directories(path_);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void set_dtype(DType dtype) {
    for (auto& [name, tensor] : tensors) tensor.dtype = dtype;
  }
  /// As nanoGPT holds a model inside torch.compile's: matrices of nn.Linear, and names with a prefix.
  void make_nano_gpt(const std::string& wrapper) {
    std::map<std::string, Tensor> renamed;
    for (auto& [name, tensor] : tensors) {
      const bool is_matrix = name.find(".h.") != name.npos && tensor.shape.rank() == 2;
      if (is_matrix) tensor.shape = {tensor.shape[1], tensor.shape[0]};
      tensor.turned = is_matrix;
      renamed[wrapper + name] = tensor;
    }
    tensors = renamed;
  }
  void drop_prefix() {
    std::map<std::string, Tensor> renamed;
    for (const auto& [name, tensor] : tensors) renamed[name.substr(std::string_view("transformer.").size())] = tensor;
    tensors = renamed;
  }

  /// Element `i` of a tensor: a multiple of 1/64 below 1, which all float types hold. Prefixes of the name play no part.
  static float value(std::string_view name, const Tensor& tensor, std::int64_t i) {
    for (const std::string_view prefix : {"module.", "_orig_mod.", "transformer."}) {
      if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    }
    std::uint32_t hash = 17;
    for (const char c : name) hash = hash * 31 + static_cast<unsigned char>(c);
    hash = (hash + static_cast<std::uint32_t>(i)) * 2654435761U;
    if (tensor.scale == 0) return tensor.scale;  // of its sign
    return tensor.scale * static_cast<float>(static_cast<int>(hash >> 25) - 63) / 64;
  }

  /// config.json and model.safetensors.
  void write() const {
    write_config();
    write_tensors("model.safetensors", tensors);
  }
  /// config.json, the index, and the tensors in turn in `count` files.
  void write_shards(std::size_t count) {
    write_config();
    std::vector<std::map<std::string, Tensor>> shards(count);
    index = {{"metadata", {{"total_size", 1}}}, {"weight_map", nlohmann::ordered_json::object()}};
    for (std::size_t i = 0; const auto& [name, tensor] : tensors) {
      shards[i % count][name] = tensor;
      index["weight_map"][name] = shard_name(i % count);
      ++i;
    }
    for (std::size_t i = 0; i < count; ++i) write_tensors(shard_name(i), shards[i]);
    write_index();
  }
  void write_config() const { write_all(path_ / "config.json", config.dump()); }
  void write_index() const { write_all(path_ / "model.safetensors.index.json", index.dump()); }
  void write_tensors(const std::string& file, const std::map<std::string, Tensor>& content) const {
    std::vector<TensorSource> sources;
    for (const auto& [name, tensor] : content) sources.push_back(source(name, tensor));
    UnsyncedFileSystem files;
    write_safetensors(files, path_ / file, sources, {{"format", "pt"}});
  }
  static std::string shard_name(std::size_t i) { return fmt::format("model-{:05}-of-00003.safetensors", i + 1); }

  nlohmann::ordered_json config;
  nlohmann::ordered_json index;
  std::map<std::string, Tensor> tensors;

 private:
  template <typename T>
  static void fill(std::span<std::byte> bytes, std::int64_t first, std::string_view name, const Tensor& tensor) {
    for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i) {
      const std::int64_t at = first + static_cast<std::int64_t>(i);
      const std::int64_t place =
          tensor.turned ? at % tensor.shape[1] * tensor.shape[0] + at / tensor.shape[1] : at;  // in what it is the transpose of
      const T element(value(name, tensor, place));
      std::memcpy(bytes.data() + i * sizeof(T), &element, sizeof(T));
    }
  }
  static TensorSource source(const std::string& name, const Tensor& tensor) {
    return {name, tensor.dtype, tensor.shape, [name, tensor](std::span<std::byte> bytes, std::int64_t offset_bytes) {
              const std::int64_t first = offset_bytes / size_of(tensor.dtype);
              if (tensor.dtype == DType::kFloat16) {
                fill<Float16>(bytes, first, name, tensor);
              } else if (tensor.dtype == DType::kBFloat16) {
                fill<BFloat16>(bytes, first, name, tensor);
              } else {
                fill<float>(bytes, first, name, tensor);
              }
            }};
  }

  std::filesystem::path path_;
};

}  // namespace virgil::test_support
