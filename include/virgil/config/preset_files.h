// Configuration files by their name: presets are found wherever a program is started.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {

/// configs/ of the working directory; else the one beside the program or above it; else that of the sources it was built from.
[[nodiscard]] std::filesystem::path presets_folder();

/// The presets there, by name, sorted.
[[nodiscard]] std::vector<std::string> preset_names();

/// Whether `word` names a preset ("tiny", "configs/tiny", "tiny.json") and no file of the working directory.
[[nodiscard]] bool names_preset(const std::string& word);

/// The file that `word` means: itself, `word`.json, or a preset. Throws UserError: nothing of that name (with what there is), a
/// folder, a config in another language.
[[nodiscard]] std::filesystem::path find_config_file(const std::string& word);

}  // namespace virgil
