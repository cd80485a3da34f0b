// Names out of files that nobody vouches for, in messages.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace virgil {

/// `name` in quotes as JSON writes it, without control characters (which a terminal would obey) and cut to a readable length.
[[nodiscard]] inline std::string quoted_name(std::string_view name) {
  constexpr std::size_t kLongest = 120;
  const std::string shown = name.size() <= kLongest ? std::string(name) : std::string(name.substr(0, kLongest)) + "...";
  return nlohmann::json(shown).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace virgil
