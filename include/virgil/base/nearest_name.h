// What somebody may have meant by a name that is not known.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace virgil {

/// The candidate with the smallest edit distance to `word` (Damerau-Levenshtein), or empty when none is near.
[[nodiscard]] std::string nearest_name(std::string_view word, std::span<const std::string> candidates);

}  // namespace virgil
