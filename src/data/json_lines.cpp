#include "data/json_lines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/shell_quote.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Json = nlohmann::json;

/// Follows a parser and keeps one field of the outermost object, whatever else the line holds: nothing of it is stored.
class FieldReader final : public nlohmann::json_sax<Json> {
 public:
  explicit FieldReader(std::string_view field) : field_(field) {}

  bool null() override { return take("null"); }
  bool boolean(bool) override { return take("true or false"); }
  bool number_integer(number_integer_t) override { return take("a number"); }
  bool number_unsigned(number_unsigned_t) override { return take("a number"); }
  bool number_float(number_float_t, const string_t&) override { return take("a number"); }
  bool string(string_t& value) override {
    if (is_field_) text = std::move(value);
    return take("a string");
  }
  bool binary(binary_t&) override { return take("binary data"); }
  bool start_object(std::size_t) override {
    take("an object");
    is_object = is_object || depth_ == 0;
    return ++depth_ <= kMostLevels;
  }
  bool end_object() override { return --depth_ >= 0; }
  bool start_array(std::size_t) override {
    take("a list");
    return ++depth_ <= kMostLevels;
  }
  bool end_array() override { return --depth_ >= 0; }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    is_field_ = name == field_;
    if (names.size() < kMostNames) names.push_back(std::move(name));
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    defect = error.what();
    return false;
  }

  bool is_object = false;
  std::string kind;  // of the field's value; empty: there is no such field
  std::string text;
  std::string defect;
  std::vector<std::string> names;  // of the first fields
  [[nodiscard]] bool too_deep() const { return depth_ > kMostLevels; }

 private:
  static constexpr int kMostLevels = 512;
  static constexpr std::size_t kMostNames = 12;

  bool take(const char* found) {
    if (is_field_ && depth_ == 1) kind = found;
    if (depth_ <= 1) is_field_ = false;
    return true;
  }

  std::string_view field_;
  int depth_ = 0;
  bool is_field_ = false;  // the next value is the field's
};

std::size_t skip_space(std::string_view text, std::size_t position) {
  while (position < text.size() && std::isspace(static_cast<unsigned char>(text[position])) != 0) ++position;
  return position;
}

bool is_json_object(std::string_view line) {
  FieldReader reader("");
  return Json::sax_parse(line, &reader) && reader.is_object;
}

/// "{", a key and ":", or "{}".
bool begins_as_object(std::string_view text, std::size_t position) {
  if (position >= text.size() || text[position] != '{') return false;
  position = skip_space(text, position + 1);
  if (position < text.size() && text[position] == '}') return true;
  if (position >= text.size() || text[position] != '"') return false;
  for (++position; position < text.size() && text[position] != '"'; ++position) {
    if (text[position] == '\\') ++position;
    if (position < text.size() && text[position] == '\n') return false;
  }
  position = skip_space(text, position + 1);
  return position < text.size() && text[position] == ':';
}

std::optional<unsigned> hex_unit(std::string_view digits) {
  if (digits.size() < 4) return std::nullopt;
  unsigned value = 0;
  for (const char c : digits.substr(0, 4)) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

/// The line with U+FFFD for what JSON cannot hold and texts do: lone halves of surrogate pairs (\ud83d) and bytes that are not
/// UTF-8.
std::string repaired(std::string_view line, std::int64_t& num_replaced) {
  constexpr std::uint32_t kReplacement = 0xFFFD;
  std::string out;
  out.reserve(line.size());
  for (std::size_t i = 0; i < line.size();) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      const auto unit = line[i + 1] == 'u' ? hex_unit(line.substr(i + 2)) : std::nullopt;
      std::size_t length = unit ? 6 : 2;
      if (unit && *unit >= 0xD800 && *unit < 0xE000) {
        const std::string_view next = line.substr(i + 6);
        const auto low = next.starts_with("\\u") ? hex_unit(next.substr(2)) : std::nullopt;
        if (*unit < 0xDC00 && low && *low >= 0xDC00 && *low < 0xE000) {
          length = 12;
        } else {
          ++num_replaced;
          out += "\\ufffd";
          i += 6;
          continue;
        }
      }
      out += line.substr(i, length);
      i += length;
      continue;
    }
    const Utf8Char character = decode_utf8(line, i);
    if (character.length == 0) {
      ++num_replaced;
      append_utf8(out, kReplacement);
    } else {
      out += line.substr(i, character.length);
    }
    i += std::max<std::size_t>(character.length, 1);
  }
  return out;
}

}  // namespace

bool looks_like_json_object(std::string_view start) { return begins_as_object(start, skip_space(start, 0)); }

bool looks_like_json_lines(std::string_view start) {
  constexpr int kLines = 8;
  constexpr std::size_t kLongLine = std::size_t{1} << 20;
  int lines = 0;
  int objects = 0;
  for (std::size_t begin = skip_space(start, 0); lines < kLines && begin < start.size(); ++lines) {
    const std::size_t end = start.find('\n', begin);
    const std::string_view line = start.substr(begin, end == start.npos ? end : end - begin);
    // A long line that is not whole here is judged by its beginning.
    const bool may_be_cut = end == start.npos && (lines > 0 || line.size() >= kLongLine);
    if (lines == 0 && !begins_as_object(line, 0)) return false;
    objects += is_json_object(line) || (may_be_cut && begins_as_object(line, 0)) ? 1 : 0;
    begin = end == start.npos ? start.size() : skip_space(start, end);
  }
  return objects > 0 && 2 * objects >= lines;
}

bool looks_like_json_array(std::string_view start) {
  const std::size_t bracket = skip_space(start, 0);
  return bracket < start.size() && start[bracket] == '[' && begins_as_object(start, skip_space(start, bracket + 1));
}

void JsonLines::read_line(std::string_view line, std::string& text) {
  ++line_;
  FieldReader reader(field_);
  bool sound = Json::sax_parse(line, &reader);
  if (!sound && !reader.too_deep()) {
    std::int64_t replaced = 0;
    const std::string mended = repaired(line, replaced);
    if (replaced > 0) {
      reader = FieldReader(field_);
      sound = Json::sax_parse(mended, &reader);
      num_replaced_ += sound ? replaced : 0;
    }
  }
  const auto refuse = [&](const std::string& what) {
    throw user_error(
        "{}: line {} {}; the file is read as JSON lines, as its first lines are JSON objects (--text_field none reads it as "
        "plain text)",
        path_.string(), line_, what);
  };
  if (reader.too_deep()) refuse("is nested too deeply");
  if (!sound) refuse(fmt::format("is not valid JSON: {:.200}", reader.defect));
  if (!reader.is_object) refuse("is not a JSON object");
  if (reader.kind.empty()) {
    refuse(fmt::format(
        "has no field \"{:.100}\" but {}; name the field of the text with --text_field", field_,
        reader.names.empty() ? "none at all" : fmt::format("{:.300}", fmt::format("{}", fmt::join(reader.names, ", ")))));
  }
  if (reader.kind != "a string" && reader.kind != "null") {
    refuse(fmt::format("has {} in its field \"{:.100}\", not a text; name the field of the text with --text_field", reader.kind,
                       field_));
  }
  text = std::move(reader.text);
}

}  // namespace virgil
