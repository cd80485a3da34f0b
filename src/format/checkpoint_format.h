// What the files of a checkpoint hold: docs/checkpoints.md in code.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/format/checkpoint.h"
#include "virgil/format/parameter_io.h"
#include "virgil/format/safetensors.h"
#include "virgil/model/architecture.h"

namespace virgil {

inline constexpr const char* kParametersFile = "model.safetensors";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kStateHashFile = "training_state.sha256";

/// Every file but the state's own two, by name.
using FileTable = std::map<std::string, WrittenFile>;

[[nodiscard]] std::string write_state(const TrainingState& state, const FileTable& files);
/// `where` names the file in messages. Throws UserError on anything write_state would not have written.
void read_state(std::string_view text, const std::string& where, TrainingState& state, FileTable& files);
/// Whether `config_text` is a JSON object of plain values and lists of them.
[[nodiscard]] bool is_flat_config(std::string_view config_text);
/// Content of kStateHashFile, as `sha256sum -c` reads it.
[[nodiscard]] std::string write_state_hash(std::string_view state_text);

/// A tensor a checkpoint must hold.
using ExpectedTensor = StoredState;
/// Parameters of the model.
[[nodiscard]] std::vector<ExpectedTensor> expected_parameters(const Architecture& model);
/// Biases that transformers has and the model lacks: written as zeros, never read. Empty for a model with biases.
[[nodiscard]] std::vector<ExpectedTensor> absent_biases(const Architecture& model);
/// The states of every parameter: those of the optimizer of which the file `holds(name)` any, in `storage`.
[[nodiscard]] std::vector<ExpectedTensor> expected_states(const Architecture& model, const StorageType& storage,
                                                          const std::function<bool(const std::string&)>& holds);

/// "best", "step-00000500", or one of them with ".old" appended.
[[nodiscard]] bool is_checkpoint_name(std::string_view name);
/// The folder that holds `directory`.
[[nodiscard]] std::filesystem::path parent_of(const std::filesystem::path& directory);

}  // namespace virgil
