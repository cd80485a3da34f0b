// Reading a JSON object that someone else wrote: every access checks presence and type and names the file and the key.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {

/// A view of a parsed object, which must outlive it. All functions throw UserError.
class JsonObject {
 public:
  using Json = nlohmann::ordered_json;

  /// `where` names the object in messages.
  JsonObject(const Json& json, std::string where);

  [[nodiscard]] bool has(const char* key) const;  // present and not null
  [[nodiscard]] std::int64_t integer(const char* key) const;
  [[nodiscard]] std::int64_t integer_or(const char* key, std::int64_t absent) const;
  [[nodiscard]] double number(const char* key) const;
  [[nodiscard]] bool boolean_or(const char* key, bool absent) const;
  [[nodiscard]] std::string string(const char* key) const;
  [[nodiscard]] std::string string_or(const char* key, const std::string& absent) const;
  [[nodiscard]] std::vector<std::string> strings_or_none(const char* key) const;
  [[nodiscard]] JsonObject object(const char* key) const;
  /// The objects of a list.
  [[nodiscard]] std::vector<JsonObject> objects(const char* key) const;

 private:
  [[nodiscard]] const Json& at(const char* key) const;
  const Json* json_;
  std::string where_;
};

/// Parses text; throws UserError naming `where` and the place when it is not JSON.
[[nodiscard]] nlohmann::ordered_json parse_json(std::string_view text, const std::string& where);

}  // namespace virgil
