// What `--input` stands for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "virgil/base/logging.h"

namespace virgil {

/// The files that inputs name: each is a file, a folder (every file in it and below, hidden ones left out, by name), or a
/// pattern with *, ? and [...] (by name). In the order given; a file named twice counts once, with a warning. Of folders and
/// patterns, empty files are left out, which `log` is told. Throws UserError on an input that names nothing (with the name
/// that was meant, where one is near), on one that is not a file of this machine, and where all files are empty.
[[nodiscard]] std::vector<std::filesystem::path> expand_inputs(const std::vector<std::string>& inputs, Logger& log);

/// Files of token ids end in ".bin", or begin as token files of Virgil or llm.c do; everything else is text.
[[nodiscard]] bool is_token_file(const std::filesystem::path& path);

/// An input so written that it means the same from any folder: a path from the root, in a pattern too.
[[nodiscard]] std::string absolute_input(const std::string& input);

}  // namespace virgil
