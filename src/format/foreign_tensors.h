// The tensors of a Hugging Face directory, whatever its files are and however they are named.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "virgil/format/pretrained_model.h"
#include "virgil/model/family.h"

namespace virgil {

inline constexpr const char* kShardIndexFile = "model.safetensors.index.json";

/// Maps model.safetensors or, where there is none, every file of the index. Throws UserError: no weights, a missing shard, a
/// tensor that is not in the shard the index names.
[[nodiscard]] std::vector<SafetensorsFile> open_weight_files(const std::filesystem::path& directory);

/// The tensors of `files` by their names in the family's class with a head. Views the files.
class ForeignTensors {
 public:
  /// `directory` is named in messages. Throws UserError on a tensor that two files hold, or one file under two names.
  ForeignTensors(const std::vector<SafetensorsFile>& files, std::string directory, const Family& family);

  /// Those of ParameterLayout(model).parameters(), in that order. Throws UserError on one that is missing, of another shape or
  /// of a type that is not float32, float16 or bfloat16, and on tensors that such a model does not have.
  /// Where the matrices of a GPT-2 are those of nn.Linear, the transpose of its own, the tensors view copies in `converted`.
  [[nodiscard]] std::vector<StoredTensor> select(const Architecture& model,
                                                 std::vector<std::vector<std::byte>>& converted) const;
  /// Whether any bias is there.
  [[nodiscard]] bool holds_biases() const;
  /// What a user may want to know of how the tensors were stored; empty for the family's own way.
  [[nodiscard]] std::string note() const;
  /// Whether one of the model's biases is there and not zero throughout.
  [[nodiscard]] bool has_biases(const Architecture& model) const;

 private:
  [[nodiscard]] bool is_linear_layout() const;
  [[nodiscard]] const SafetensorsFile::Entry& find(const std::string& name) const;
  [[nodiscard]] StoredTensor take(const ParameterSpec& spec, bool is_linear,
                                  std::vector<std::vector<std::byte>>& converted) const;
  void refuse_others(const Architecture& model) const;
  void check_tied_head() const;

  std::string directory_;
  const Family& family_;
  std::string wrapper_;  // before all names, such as "_orig_mod."
  std::map<std::string, const SafetensorsFile::Entry*> entries_;
};

}  // namespace virgil
