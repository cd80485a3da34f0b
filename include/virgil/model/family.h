// Families of models: what each calls its modules, how its files hold matrices, and how its config.json tells an architecture.
// One file a family in model/families; all else reads these.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "virgil/base/json.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// Names in checkpoints. Those of a block follow "LAYERS.0.", those of attention and MLP follow their own.
struct ModuleNames {
  std::string_view token_embedding;
  std::string_view position_embedding;
  std::string_view layers;
  std::string_view first_norm;
  std::string_view attention;
  std::string_view qkv;  // queries, keys and values side by side in one matrix; empty: the next three instead
  std::string_view query;
  std::string_view key;
  std::string_view value;
  std::string_view projection;
  std::string_view second_norm;
  std::string_view mlp;
  std::string_view gate;  // empty: the family has none
  std::string_view up;
  std::string_view down;
  std::string_view last_norm;
  std::string_view head;
  std::string_view convolution = {};  // of attention's and the MLP's input; empty: the family has none
};

/// Of matrices, in files and in memory.
enum class WeightOrder : std::uint8_t {
  kInputsOutputs,  // y = x W, as transformers' Conv1D
  kOutputsInputs,  // y = x W^T, as torch's nn.Linear
};

/// A size in config.json.
struct ConfigSize {
  const char* name;        // the family's own
  const char* general;     // of every model, and preferred where both are given; may be the same
  const char* config_key;  // Virgil's, whose range it has
  std::int64_t Architecture::*member;
  bool required = true;            // else absent or null stands for 0
  const char* old_name = nullptr;  // read where neither of the others is given
};
/// Under which name a file gives it, or would have to.
[[nodiscard]] const char* key_of(const ConfigSize& size, const JsonObject& json);

struct Family {
  const char* model_type;  // in config.json
  ModuleNames modules;
  WeightOrder weight_order;
  std::span<const ConfigSize> sizes;
  /// What its models are where nothing else is said: kinds, biases, tied weights. No sizes.
  Architecture (*usual)();
  /// Whether its modules can hold such a model.
  bool (*holds)(const Architecture& model);
  /// As config.json tells it, sizes in range or not; absent keys take the defaults of `transformers`. Dropout is 0: how to
  /// train is not the weights' to say.
  Architecture (*read)(const JsonObject& json);

  /// Whether the class of `transformers` has biases in all modules, so that a model without them is written with zeros.
  bool has_all_biases = false;

  // Of a family that is trained; else absent.
  /// Throws UserError naming `where` and the key for settings under which the same weights are another function.
  void (*refuse_other_functions)(const JsonObject& json, const std::string& where) = nullptr;
  /// `end_of_text` is -1 when the vocabulary has none.
  nlohmann::ordered_json (*write)(const Architecture& model, std::int32_t end_of_text) = nullptr;
  /// What write() wrote: the same, with dropout.
  Architecture (*read_written)(const JsonObject& json) = nullptr;

  [[nodiscard]] bool is_trained() const { return write != nullptr; }
};

extern const Family kGpt2Family;
extern const Family kVirgilFamily;  // GPT-2's modules, and those that GPT-2 lacks
extern const Family kLlamaFamily;
extern const Family kMistralFamily;
extern const Family kQwen2Family;

[[nodiscard]] std::span<const Family* const> families();
/// Nothing for an unknown one.
[[nodiscard]] const Family* find_family(std::string_view model_type);
/// "gpt2, llama, mistral and qwen2"; those that are trained only, or all.
[[nodiscard]] std::string family_names(bool trained_only);

/// What a family's read() begins with: its usual model with the sizes of `json`.
[[nodiscard]] Architecture read_sizes(const Family& family, const JsonObject& json);

}  // namespace virgil
