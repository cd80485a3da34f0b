// What `--input` stands for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "virgil/base/logging.h"

namespace virgil {

/// The files that inputs name: each is a file, a folder (every file in it and below, hidden ones left out, by name), or a
/// pattern with *, ? and [...] (by name). In the order given; a file named twice counts once, with a warning. Throws UserError
/// on an input that names nothing.
[[nodiscard]] std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& inputs, Logger& log);

/// Files of token ids end in ".bin"; everything else is text.
[[nodiscard]] bool is_token_file(const std::filesystem::path& path);

}  // namespace virgil
