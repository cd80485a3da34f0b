// What somebody may have meant by a name that is not known.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace virgil {

/// The candidate with the smallest edit distance to `word` (Damerau-Levenshtein), or empty when none is near.
[[nodiscard]] std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

/// The path that was meant by one that names nothing: where its first missing name is a slip for another that is there, with
/// that one in its place, if the whole then exists. Empty when there is none.
[[nodiscard]] std::string nearest_path(const std::filesystem::path& missing);

}  // namespace virgil
