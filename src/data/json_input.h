// Reading JSON that nobody vouches for.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace virgil {

/// Parses a document nested at most `max_depth` deep. Throws UserError with the path and the parser's position.
[[nodiscard]] nlohmann::json parse_json(std::string_view content, const std::filesystem::path& path, int max_depth);

/// object[key]; throws UserError naming the path and the key when `object` is no object or lacks it.
[[nodiscard]] const nlohmann::json& require_key(const nlohmann::json& object, const char* key,
                                                const std::filesystem::path& path);

}  // namespace virgil
