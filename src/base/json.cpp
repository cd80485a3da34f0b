#include "virgil/base/json.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/foreign_file.h"

namespace virgil {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kNanWord = "nan";
constexpr const char* kInfinityWord = "inf";
constexpr const char* kMinusInfinityWord = "-inf";

/// Builds the document. Members are appended to the list underneath an object, since adding them by key would search it each
/// time.
class DocumentBuilder final : public JsonEvents {
 public:
  using JsonEvents::JsonEvents;

  [[nodiscard]] Json take() { return std::move(root_); }

  bool null() override { return add(Json(nullptr)); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }

 private:
  void on_start_object() override { open(Json::object()); }
  void on_start_array() override { open(Json::array()); }
  void on_key(std::string& name) override { key_ = std::move(name); }
  void on_end_object() override { open_.pop_back(); }
  void on_end_array() override { open_.pop_back(); }

  Json& place(Json&& value) {
    if (open_.empty()) return root_ = std::move(value);
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return parent.back();
    }
    auto& members = parent.get_ref<Json::object_t&>();
    static_cast<Json::object_t::Container&>(members).emplace_back(std::move(key_), std::move(value));
    return members.back().second;
  }
  bool add(Json&& value) {
    place(std::move(value));
    return true;
  }
  /// The container stays where it is while it is open: nothing is added to its parent meanwhile.
  void open(Json&& container) { open_.push_back(&place(std::move(container))); }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
};

}  // namespace

void JsonEvents::enter() {
  if (depth() == kMaxJsonDepth) {
    throw user_error("{}: nested deeper than {} levels, which no such file is; it is damaged or another kind of file", where_,
                     kMaxJsonDepth);
  }
  keys_.emplace_back();
}

bool JsonEvents::start_object(std::size_t) {
  enter();
  on_start_object();
  return true;
}

bool JsonEvents::key(string_t& name) {
  if (!keys_.back().insert(name).second) on_duplicate_key(name);
  on_key(name);
  return true;
}

bool JsonEvents::end_object() {
  on_end_object();
  keys_.pop_back();
  return true;
}

bool JsonEvents::start_array(std::size_t) {
  enter();
  on_start_array();
  return true;
}

bool JsonEvents::end_array() {
  on_end_array();
  keys_.pop_back();
  return true;
}

bool JsonEvents::binary(binary_t&) { throw user_error("{}: binary values are not JSON", where_); }

bool JsonEvents::parse_error(std::size_t position, const std::string& last_token, const nlohmann::detail::exception& error) {
  std::string_view what = error.what();  // "[json.exception.parse_error.101] parse error at line 3, column 4: ..."
  const auto skip = [&](std::string_view beginning_to) {
    const std::size_t at = what.find(beginning_to);
    if (at != what.npos) what.remove_prefix(at + beginning_to.size());
  };
  skip("] ");
  if (what.starts_with("parse error at ")) skip("parse error at ");
  on_syntax_error(position, last_token, excerpt(what, 240));
  return false;  // not reached
}

void JsonEvents::on_syntax_error(std::size_t, const std::string&, const std::string& what) {
  throw user_error("{}: not valid JSON: {}", where_, what);
}

void JsonEvents::on_duplicate_key(const std::string& name) {
  throw user_error("{}: {} is given twice; keep one", where_, quoted_excerpt(name));
}

void parse_json_events(std::string_view text, JsonEvents& events) {
  if (const auto foreign = describe_foreign_file(text.substr(0, kForeignFileBytes))) {
    throw user_error("{}: is {}", events.where(), *foreign);
  }
  nlohmann::json::sax_parse(text, &events);
}

Json parse_json(std::string_view text, const std::string& where) {
  DocumentBuilder builder(where);
  parse_json_events(text, builder);
  return builder.take();
}

nlohmann::json parse_sorted_json(std::string_view text, const std::string& where) { return parse_json(text, where); }

Json json_of_figure(double figure) {
  if (std::isnan(figure)) return kNanWord;
  if (std::isinf(figure)) return figure > 0 ? kInfinityWord : kMinusInfinityWord;
  return figure;
}

std::optional<double> figure_of_json(const Json& json) {
  if (json.is_number()) return json.get<double>();
  if (json == kNanWord) return std::numeric_limits<double>::quiet_NaN();
  if (json == kInfinityWord) return std::numeric_limits<double>::infinity();
  if (json == kMinusInfinityWord) return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

Json parse_json_or_null(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const UserError&) {
    return nullptr;
  }
}

template <typename Document>
std::string describe_json(const Document& json) {
  if (json.is_array()) return "a list";
  if (json.is_object()) return "an object";
  if (json.is_string()) return quoted_excerpt(json.template get_ref<const std::string&>(), 60);
  return json.dump();
}

template <typename Document>
BasicJsonObject<Document>::BasicJsonObject(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {
  if (!json.is_object()) throw user_error("{}: is {}, but must be a JSON object", where_, describe_json(json));
}

template <typename Document>
bool BasicJsonObject<Document>::contains(const char* key) const {
  return json_->contains(key);
}

template <typename Document>
bool BasicJsonObject<Document>::has(const char* key) const {
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

template <typename Document>
const Document& BasicJsonObject<Document>::at(const char* key) const {
  const auto found = json_->find(key);
  if (found == json_->end() || found->is_null()) throw user_error("{}: \"{}\" is missing", where_, key);
  return *found;
}

template <typename Document>
std::int64_t BasicJsonObject<Document>::integer(const char* key) const {
  const Json& value = at(key);
  const bool fits =
      value.is_number_integer() && !(value.is_number_unsigned() && value.template get<std::uint64_t>() > INT64_MAX);
  if (!fits) throw user_error("{}: \"{}\" is {}, but must be a whole number", where_, key, describe_json(value));
  return value.template get<std::int64_t>();
}

template <typename Document>
std::int64_t BasicJsonObject<Document>::integer_or(const char* key, std::int64_t absent) const {
  return has(key) ? integer(key) : absent;
}

template <typename Document>
std::uint64_t BasicJsonObject<Document>::unsigned_integer(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number_unsigned()) {
    throw user_error("{}: \"{}\" is {}, but must be a whole number of at least 0", where_, key, describe_json(value));
  }
  return value.template get<std::uint64_t>();
}

template <typename Document>
double BasicJsonObject<Document>::number(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number()) throw user_error("{}: \"{}\" is {}, but must be a number", where_, key, describe_json(value));
  return value.template get<double>();
}

template <typename Document>
double BasicJsonObject<Document>::number_or(const char* key, double absent) const {
  return has(key) ? number(key) : absent;
}

template <typename Document>
bool BasicJsonObject<Document>::boolean(const char* key) const {
  const Json& value = at(key);
  if (!value.is_boolean()) throw user_error("{}: \"{}\" is {}, but must be true or false", where_, key, describe_json(value));
  return value.template get<bool>();
}

template <typename Document>
bool BasicJsonObject<Document>::boolean_or(const char* key, bool absent) const {
  return has(key) ? boolean(key) : absent;
}

template <typename Document>
std::string BasicJsonObject<Document>::string(const char* key) const {
  const Json& value = at(key);
  if (!value.is_string()) throw user_error("{}: \"{}\" is {}, but must be a string", where_, key, describe_json(value));
  return value.template get<std::string>();
}

template <typename Document>
std::string BasicJsonObject<Document>::string_or(const char* key, const std::string& absent) const {
  return has(key) ? string(key) : absent;
}

template <typename Document>
std::vector<std::string> BasicJsonObject<Document>::strings(const char* key) const {
  std::vector<std::string> strings;
  const Json& list = at(key);
  const auto refuse = [&] {
    throw user_error("{}: \"{}\" is {}, but must be a list of strings", where_, key, describe_json(list));
  };
  if (!list.is_array()) refuse();
  for (const Json& value : list) {
    if (!value.is_string()) refuse();
    strings.push_back(value.template get<std::string>());
  }
  return strings;
}

template <typename Document>
std::vector<std::string> BasicJsonObject<Document>::strings_or_none(const char* key) const {
  return has(key) ? strings(key) : std::vector<std::string>();
}

template <typename Document>
BasicJsonObject<Document> BasicJsonObject<Document>::object(const char* key) const {
  return {at(key), fmt::format("{}: \"{}\"", where_, key)};
}

template <typename Document>
std::vector<BasicJsonObject<Document>> BasicJsonObject<Document>::objects(const char* key) const {
  const Json& list = at(key);
  if (!list.is_array()) throw user_error("{}: \"{}\" is {}, but must be a list", where_, key, describe_json(list));
  std::vector<BasicJsonObject> objects;
  for (std::size_t i = 0; i < list.size(); ++i) objects.emplace_back(list[i], fmt::format("{}: {}[{}]", where_, key, i));
  return objects;
}

template std::string describe_json(const nlohmann::ordered_json& json);
template class BasicJsonObject<nlohmann::ordered_json>;
template class BasicJsonObject<nlohmann::json>;

}  // namespace virgil
