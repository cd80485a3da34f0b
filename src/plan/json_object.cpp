#include "plan/json_object.h"

#include <fmt/format.h>

#include <utility>

#include "virgil/base/error.h"

namespace virgil {

namespace {

/// What stands there, cut short: a file may hold anything, of any depth.
std::string excerpt(const nlohmann::ordered_json& json) {
  if (json.is_array()) return "a list";
  if (json.is_object()) return "an object";
  constexpr std::size_t kLongest = 40;
  const std::string text = json.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

}  // namespace

JsonObject::JsonObject(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {
  if (!json.is_object()) throw user_error("{}: is {}, but must be a JSON object", where_, excerpt(json));
}

bool JsonObject::has(const char* key) const { return json_->contains(key) && !(*json_)[key].is_null(); }

const JsonObject::Json& JsonObject::at(const char* key) const {
  if (!has(key)) throw user_error("{}: \"{}\" is missing", where_, key);
  return (*json_)[key];
}

std::int64_t JsonObject::integer(const char* key) const {
  const Json& value = at(key);
  const bool fits = value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX);
  if (!fits) throw user_error("{}: \"{}\" is {}, but must be a whole number", where_, key, excerpt(value));
  return value.get<std::int64_t>();
}

std::int64_t JsonObject::integer_or(const char* key, std::int64_t absent) const { return has(key) ? integer(key) : absent; }

double JsonObject::number(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number()) throw user_error("{}: \"{}\" is {}, but must be a number", where_, key, excerpt(value));
  return value.get<double>();
}

bool JsonObject::boolean_or(const char* key, bool absent) const {
  if (!has(key)) return absent;
  const Json& value = at(key);
  if (!value.is_boolean()) throw user_error("{}: \"{}\" is {}, but must be true or false", where_, key, excerpt(value));
  return value.get<bool>();
}

std::string JsonObject::string(const char* key) const {
  const Json& value = at(key);
  if (!value.is_string()) throw user_error("{}: \"{}\" is {}, but must be a string", where_, key, excerpt(value));
  return value.get<std::string>();
}

std::string JsonObject::string_or(const char* key, const std::string& absent) const { return has(key) ? string(key) : absent; }

std::vector<std::string> JsonObject::strings_or_none(const char* key) const {
  std::vector<std::string> strings;
  if (!has(key)) return strings;
  const Json& list = at(key);
  for (const Json& value : list) {
    if (!list.is_array() || !value.is_string()) {
      throw user_error("{}: \"{}\" is {}, but must be a list of strings", where_, key, excerpt(list));
    }
    strings.push_back(value.get<std::string>());
  }
  return strings;
}

JsonObject JsonObject::object(const char* key) const { return {at(key), fmt::format("{}: \"{}\"", where_, key)}; }

std::vector<JsonObject> JsonObject::objects(const char* key) const {
  const Json& list = at(key);
  if (!list.is_array()) throw user_error("{}: \"{}\" is {}, but must be a list", where_, key, excerpt(list));
  std::vector<JsonObject> objects;
  for (std::size_t i = 0; i < list.size(); ++i) objects.emplace_back(list[i], fmt::format("{}: {}[{}]", where_, key, i));
  return objects;
}

nlohmann::ordered_json parse_json(std::string_view text, const std::string& where) {
  try {
    return nlohmann::ordered_json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    const std::string_view what = error.what();  // "[json.exception.parse_error.101] parse error at line 3, ..."
    const std::size_t prefix = what.find("] ");
    throw user_error("{}: not valid JSON: {}", where, prefix == what.npos ? what : what.substr(prefix + 2));
  }
}

}  // namespace virgil
