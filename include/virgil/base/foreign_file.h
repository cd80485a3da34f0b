// What a file is when it is not what its name promises.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace virgil {

/// How many bytes of a file describe_foreign_file looks at.
inline constexpr std::size_t kForeignFileBytes = 512;

/// Recognises what commonly lies in place of a JSON, safetensors or vocabulary file by its first bytes: a Git LFS pointer, an
/// HTML page, an archive, a PyTorch pickle. Returns what it is and how to get the file itself, to follow "PATH: is ", such as
/// "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"; nothing for other content.
[[nodiscard]] std::optional<std::string> describe_foreign_file(std::string_view start);

}  // namespace virgil
