// Reading JSON that nobody vouches for.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace virgil {

/// As parse_json of base, but with the keys of each object sorted, and so found in logarithmic time.
[[nodiscard]] nlohmann::json parse_json(std::string_view content, const std::filesystem::path& path);

/// object[key]; throws UserError naming the path and the key when `object` is no object or lacks it.
[[nodiscard]] const nlohmann::json& require_key(const nlohmann::json& object, const char* key,
                                                const std::filesystem::path& path);

}  // namespace virgil
