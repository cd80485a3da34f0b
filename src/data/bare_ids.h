// Files that should hold 16-bit ids and nothing else, judged by their look.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace virgil {

/// Throws UserError where a file without a header hardly holds 16-bit ids: its first bytes are those of another kind of file or
/// of a text, or its ids look 32 or 64 bits wide. The message names the remedy. Looks at parts of a long file.
void check_bare_ids(std::span<const std::byte> bytes, const std::filesystem::path& path);

}  // namespace virgil
