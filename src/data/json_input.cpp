#include "data/json_input.h"

#include "virgil/base/error.h"
#include "virgil/base/json.h"

namespace virgil {

nlohmann::json parse_json(std::string_view content, const std::filesystem::path& path) {
  return parse_json(content, path.string());
}

const nlohmann::json& require_key(const nlohmann::json& object, const char* key, const std::filesystem::path& path) {
  if (!object.is_object() || !object.contains(key)) throw user_error("{}: \"{}\" is missing", path.string(), key);
  return *object.find(key);
}

}  // namespace virgil
