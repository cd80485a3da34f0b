#include "data/json_input.h"

#include "virgil/base/error.h"

namespace virgil {

nlohmann::json parse_json(std::string_view content, const std::filesystem::path& path, int max_depth) {
  const auto check_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > max_depth) throw user_error("{}: JSON nested deeper than {} levels", path.string(), max_depth);
    return true;
  };
  try {
    return nlohmann::json::parse(content.begin(), content.end(), check_depth);
  } catch (const nlohmann::json::exception& error) {
    throw user_error("{}: not valid JSON: {}", path.string(), error.what());
  }
}

const nlohmann::json& require_key(const nlohmann::json& object, const char* key, const std::filesystem::path& path) {
  if (!object.is_object() || !object.contains(key)) throw user_error("{}: \"{}\" is missing", path.string(), key);
  return object[key];
}

}  // namespace virgil
