// Texts that are at hand and not in a file: what is typed, piped or given on a command line.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/logging.h"
#include "virgil/data/text_reader.h"

namespace virgil {

/// `bytes` converted as TextReader converts a file (UTF-8, no byte order mark, line ends LF), and what was converted said
/// through `log`. `name` stands for the file in messages. May be empty; NULs stay. Throws UserError on UTF-32.
[[nodiscard]] std::string convert_text(std::string_view bytes, const std::filesystem::path& name, Logger& log);

/// Reads a stream line by line, each as soon as it is there, converted as convert_text converts the whole.
class TextLines {
 public:
  /// `in` must outlive this. `name` stands for it in messages.
  TextLines(std::istream& in, std::filesystem::path name) : in_(in), name_(std::move(name)) {}

  /// The next line without its end; false after the last one. Throws UserError on UTF-32.
  [[nodiscard]] bool next(std::string& line, Logger& log);

 private:
  [[nodiscard]] bool read_raw(std::string& raw);
  [[nodiscard]] bool is_whole(std::string_view raw) const;

  std::istream& in_;
  std::filesystem::path name_;
  TextReport::Encoding encoding_ = TextReport::Encoding::kUtf8;
  bool knows_encoding_ = false;
};

}  // namespace virgil
