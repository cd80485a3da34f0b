// JSON lines (https://jsonlines.org): a JSON object a line, of which one field is a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace virgil {

/// Whether a text that begins so consists of JSON objects, one a line: the first line that is not blank begins as one, and at
/// least half of the first few are. Where only some are, a later error can name the line.
[[nodiscard]] bool looks_like_json_lines(std::string_view start);

/// Whether it begins as a JSON object does, over however many lines: "{", then a key.
[[nodiscard]] bool looks_like_json_object(std::string_view start);
/// Whether it begins as an array of JSON objects does: "[", then "{", then a key.
[[nodiscard]] bool looks_like_json_array(std::string_view start);

/// The text of one line after the other.
class JsonLines {
 public:
  JsonLines(std::filesystem::path path, std::string field) : path_(std::move(path)), field_(std::move(field)) {}

  /// Puts the text of a line that is not blank into `text`. Throws UserError, naming the line's number, when it is no JSON
  /// object, when it lacks the field (and then which fields it has), or when the field holds no text. A null counts as an empty
  /// text.
  void read_line(std::string_view line, std::string& text);
  /// Counts a line that is left out.
  void skip_line() { ++line_; }

  /// Halves of surrogate pairs and bytes that are not UTF-8, which became U+FFFD.
  [[nodiscard]] std::int64_t num_replaced() const { return num_replaced_; }
  [[nodiscard]] std::int64_t line() const { return line_; }

 private:
  std::filesystem::path path_;
  std::string field_;
  std::int64_t line_ = 0;  // read so far
  std::int64_t num_replaced_ = 0;
};

}  // namespace virgil
