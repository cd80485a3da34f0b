// Reading JSON that nobody vouches for: the one place that knows how deep it may be nested, that no key may stand twice, and
// how a defect is told. Messages name the file, the key and the place, and repeat no more than an excerpt of what stands there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace virgil {

/// Deeper nesting is refused: no format that is read here comes near it, and walking a document takes stack.
inline constexpr int kMaxJsonDepth = 64;

/// The parser's events, for formats that are read as they come. Depth and duplicate keys have been checked before the on_*
/// functions are called; time is linear in the text. A derived class overrides those, and the value functions of
/// nlohmann::json_sax. All throw UserError naming `where`.
class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonEvents(std::string where) : where_(std::move(where)) {}

  bool start_object(std::size_t size) final;
  bool key(string_t& name) final;
  bool end_object() final;
  bool start_array(std::size_t size) final;
  bool end_array() final;
  bool binary(binary_t& value) final;
  bool parse_error(std::size_t position, const std::string& last_token, const nlohmann::detail::exception& error) final;

 protected:
  virtual void on_start_object() = 0;
  virtual void on_key(std::string& name) = 0;
  virtual void on_end_object() = 0;
  virtual void on_start_array() = 0;
  virtual void on_end_array() = 0;
  /// Called for a text that is not JSON: `byte` counts from 1, `token` is what was read last. The default tells line, column
  /// and what was expected.
  [[noreturn]] virtual void on_syntax_error(std::size_t byte, const std::string& token, const std::string& what);
  /// Called for a key that its object already has.
  [[noreturn]] virtual void on_duplicate_key(const std::string& name);

  friend void parse_json_events(std::string_view text, JsonEvents& events);

  /// Objects and lists around the current position.
  [[nodiscard]] int depth() const { return static_cast<int>(keys_.size()); }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  void enter();
  std::string where_;
  std::vector<std::unordered_set<std::string>> keys_;  // of every open object; none of a list
};

/// Parses `text`, calling `events`. UTF-8, with or without a byte order mark. Another kind of file in its place (a Git LFS
/// pointer, a web page) is told as such.
void parse_json_events(std::string_view text, JsonEvents& events);

/// The whole document, its keys in the order they stand in. Looking a key up takes time in proportion to the keys of its
/// object: walk large objects with items().
[[nodiscard]] nlohmann::ordered_json parse_json(std::string_view text, const std::string& where);

/// The document with the keys of each object sorted, and so found in logarithmic time: for objects of many keys.
[[nodiscard]] nlohmann::json parse_sorted_json(std::string_view text, const std::string& where);

/// As parse_json, or null where the text is not JSON: for lines of a file that may be torn.
[[nodiscard]] nlohmann::ordered_json parse_json_or_null(std::string_view text);

/// JSON has no NaN or infinity: a figure that is not finite is the string "nan", "inf" or "-inf", which no reader takes for a
/// number.
[[nodiscard]] nlohmann::ordered_json json_of_figure(double figure);
/// The figure that json_of_figure wrote; nothing for any other value.
[[nodiscard]] std::optional<double> figure_of_json(const nlohmann::ordered_json& json);

/// What stands there, for a message: "a list", "an object", or an excerpt of the value.
template <typename Document>
[[nodiscard]] std::string describe_json(const Document& json);

/// A view of an object of what parse_json or parse_sorted_json gave, which must outlive it. Every access checks presence and
/// type; all functions throw UserError.
template <typename Document>
class BasicJsonObject {
 public:
  using Json = Document;

  /// `where` names the object in messages.
  BasicJsonObject(const Json& json, std::string where);

  [[nodiscard]] bool has(const char* key) const;       // present and not null
  [[nodiscard]] bool contains(const char* key) const;  // present, perhaps null
  /// The value of any type but null.
  [[nodiscard]] const Json& at(const char* key) const;
  [[nodiscard]] std::int64_t integer(const char* key) const;
  [[nodiscard]] std::int64_t integer_or(const char* key, std::int64_t absent) const;
  [[nodiscard]] std::uint64_t unsigned_integer(const char* key) const;
  [[nodiscard]] double number(const char* key) const;
  [[nodiscard]] double number_or(const char* key, double absent) const;
  [[nodiscard]] bool boolean(const char* key) const;
  [[nodiscard]] bool boolean_or(const char* key, bool absent) const;
  [[nodiscard]] std::string string(const char* key) const;
  [[nodiscard]] std::string string_or(const char* key, const std::string& absent) const;
  [[nodiscard]] std::vector<std::string> strings(const char* key) const;
  [[nodiscard]] std::vector<std::string> strings_or_none(const char* key) const;
  [[nodiscard]] BasicJsonObject object(const char* key) const;
  /// The objects of a list.
  [[nodiscard]] std::vector<BasicJsonObject> objects(const char* key) const;
  /// The object itself, for walking its items().
  [[nodiscard]] const Json& json() const { return *json_; }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  const Json* json_;
  std::string where_;
};
using JsonObject = BasicJsonObject<nlohmann::ordered_json>;
using SortedJsonObject = BasicJsonObject<nlohmann::json>;

}  // namespace virgil
