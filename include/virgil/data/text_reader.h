// Text files as UTF-8, whatever they were written as.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "virgil/base/logging.h"

namespace virgil {

struct TextOptions {
  bool allow_nul = false;  // --force: take files that hold NUL bytes
  // What DocumentReader makes of a text (data/document_reader.h); TextReader reads it as it is.
  std::string text_field = "text";  // of JSON lines; "none": they are read as they are
  bool split_documents = true;      // at <|endoftext|>, where the tokenizer has such a token
};

/// What was found and changed on the way in.
struct TextReport {
  enum class Encoding { kUtf8, kUtf16LittleEndian, kUtf16BigEndian };
  Encoding encoding = Encoding::kUtf8;
  bool had_byte_order_mark = false;
  std::int64_t num_crlf = 0;               // line ends CRLF, now LF
  std::int64_t num_invalid = 0;            // bytes that are not UTF-8, kept; in UTF-16: lone surrogates, now U+FFFD
  std::int64_t first_invalid_offset = -1;  // in bytes of the file
  bool was_compressed = false;             // with gzip; offsets are those of what it holds
  bool is_web_page = false;                // begins as HTML or XML; read with its tags
  std::string table;                       // describe_table() of it; empty: none
};

class InputStream;

/// Reads a text piece by piece, so that texts larger than memory work. What gzip has compressed is unpacked. UTF-16 (told by
/// its byte order mark, or by NULs in every other byte) becomes UTF-8, a byte order mark goes, CRLF becomes LF; bytes that are
/// not UTF-8 stay as they are.
class TextReader {
 public:
  static constexpr std::int64_t kDefaultChunkBytes = std::int64_t{16} << 20;

  /// Throws UserError when the file is missing, not a regular file, unreadable, empty, UTF-32, or by its first bytes no text:
  /// an archive, a PDF, a table; the message names the command that converts it.
  explicit TextReader(const std::filesystem::path& path, TextOptions options = {},
                      std::int64_t chunk_bytes = kDefaultChunkBytes);
  TextReader(TextReader&&) noexcept;
  ~TextReader();

  /// The next piece, about chunk_bytes long, cut where every tokenizer has a boundary; false at the end.
  /// Throws UserError at a NUL byte (unless allowed) with its offset.
  [[nodiscard]] bool next(std::string& chunk);
  /// Complete once next() has returned false.
  [[nodiscard]] const TextReport& report() const { return report_; }

 private:
  void look_at_start();
  [[nodiscard]] bool read_block();
  void convert_block(std::string_view block);

  std::filesystem::path path_;
  TextOptions options_;
  std::size_t chunk_bytes_;
  std::unique_ptr<InputStream> file_;
  TextReport report_;
  std::string raw_;              // bytes of the file not yet converted
  std::int64_t raw_offset_ = 0;  // where raw_ stands in the file
  std::string ready_;            // converted, not yet handed out
  std::size_t uncut_ = 0;        // so much of ready_ is known to hold no boundary
  std::string utf8_;             // scratch for UTF-16
};

/// Says through `log` what `report` found, one line for each.
void log_text_report(const TextReport& report, const std::filesystem::path& path, Logger& log);

/// A text in memory, ready to be tokenised.
struct Text {
  std::filesystem::path path;
  std::string bytes;  // UTF-8 without byte order mark, line ends LF
};

/// Whether a file holds nothing: no byte, or only a byte order mark, packed or not. Throws UserError when it cannot be read.
[[nodiscard]] bool is_empty_text(const std::filesystem::path& path);

/// Reads a whole file through TextReader and says what was converted.
[[nodiscard]] Text read_text(const std::filesystem::path& path, Logger& log, TextOptions options = {});

}  // namespace virgil
