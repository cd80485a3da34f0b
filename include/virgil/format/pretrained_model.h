// A model to start from or to use: a checkpoint of Virgil, or a GPT-2 directory of Hugging Face transformers
// (docs/checkpoints.md, "Weights from elsewhere").
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/base/logging.h"
#include "virgil/data/tokenizer.h"
#include "virgil/format/safetensors.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/sharding.h"

namespace virgil {

/// Elements of a parameter where they lie in a mapped file: float32, float16 or bfloat16, little-endian, at any alignment.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// Weights without optimizer state. The tensors view `files` and `converted`.
struct PretrainedModel {
  std::filesystem::path directory;  // where it was found
  Architecture model;               // dropout 0: how to train is not the weights' to say
  bool is_checkpoint = false;       // Virgil's own, with its hashes verified
  std::int64_t step = 0;            // updates, of a checkpoint
  std::vector<SafetensorsFile> files;
  std::vector<std::vector<std::byte>> converted;  // tensors that lie in the files in another layout
  std::vector<StoredTensor> tensors;              // one for each of ParameterLayout::parameters(), in that order
  std::string note;                               // what was unusual in the files, for a line of information; often empty
};

/// The checkpoint that `path` means: the folder of a checkpoint or of a Hugging Face model itself, or of a run's folder "best",
/// else the newest step; says through `log` which one it takes. Throws UserError when there is none.
[[nodiscard]] std::filesystem::path find_checkpoint(const std::filesystem::path& path, Logger& log);

/// Opens a folder with training_state.json as load_checkpoint does; any other as a Hugging Face GPT-2 model: config.json and
/// model.safetensors, or model.safetensors.index.json and its shards, names with or without "transformer."; a nanoGPT model's
/// tensors ("_orig_mod." before names, matrices transposed) too. Everything in the folder is treated as untrusted. Throws
/// UserError naming the file and the defect, and where a weight is NaN or infinite.
[[nodiscard]] PretrainedModel open_pretrained(const std::filesystem::path& directory);

/// Keeps the first `block_size` positions, 1 to those the model has.
void shorten_context(PretrainedModel& model, std::int64_t block_size);

/// What make_tokenizer takes to make the model's own tokenizer: its folder, or "gpt2" for a folder without tokenizer files and
/// GPT-2's vocabulary. None when the folder does not tell.
[[nodiscard]] std::optional<std::string> tokenizer_spec(const PretrainedModel& model);
/// Makes it. Throws UserError when there is none, it is damaged, or it has more ids than the model.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const PretrainedModel& model);
/// What is wrong and how to mend it, where tokenizer_spec gives none.
[[nodiscard]] std::string describe_missing_tokenizer(const PretrainedModel& model);

/// Fills `flat`, the whole or a part, rounded to nearest where it is narrower; gaps and padding rows become zero. `layout` is
/// that of model.model.
void load_parameters(Backend& backend, const ParameterLayout& layout, const PretrainedModel& model, const FlatTensor& flat);

}  // namespace virgil
