// What stands at a path. The functions of std::filesystem throw what is no UserError, or answer "nothing" where the system
// refuses to tell; these tell.
#pragma once

#include <filesystem>

namespace virgil {

enum class PathKind { kNothing, kFile, kFolder, kOther };

/// Links are followed. Throws UserError where the system does not tell: no permission on a folder above, a loop of links, a
/// name too long; and on a path that holds a NUL.
[[nodiscard]] PathKind kind_of_path(const std::filesystem::path& path);

[[nodiscard]] inline bool path_exists(const std::filesystem::path& path) { return kind_of_path(path) != PathKind::kNothing; }
[[nodiscard]] inline bool is_folder(const std::filesystem::path& path) { return kind_of_path(path) == PathKind::kFolder; }
[[nodiscard]] inline bool is_plain_file(const std::filesystem::path& path) { return kind_of_path(path) == PathKind::kFile; }

/// Whether something has that name, be it a link that leads nowhere. Throws as kind_of_path.
[[nodiscard]] bool is_name_taken(const std::filesystem::path& path);

}  // namespace virgil
