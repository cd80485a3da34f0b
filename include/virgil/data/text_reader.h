// Text files as UTF-8, whatever they were written as.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "virgil/base/logging.h"

namespace virgil {

struct TextOptions {
  bool allow_nul = false;  // --force: take files that hold NUL bytes
};

/// What was found and changed on the way in.
struct TextReport {
  enum class Encoding { kUtf8, kUtf16LittleEndian, kUtf16BigEndian };
  Encoding encoding = Encoding::kUtf8;
  bool had_byte_order_mark = false;
  std::int64_t num_crlf = 0;               // line ends CRLF, now LF
  std::int64_t num_invalid = 0;            // bytes that are not UTF-8, kept; in UTF-16: lone surrogates, now U+FFFD
  std::int64_t first_invalid_offset = -1;  // in bytes of the file
};

/// Reads a text piece by piece, so that texts larger than memory work. UTF-16 (told by its byte order mark, or by NULs in every
/// other byte) becomes UTF-8, a byte order mark goes, CRLF becomes LF; bytes that are not UTF-8 stay as they are.
class TextReader {
 public:
  static constexpr std::int64_t kDefaultChunkBytes = std::int64_t{16} << 20;

  /// Throws UserError when the file is missing, not a regular file, unreadable, empty or UTF-32.
  explicit TextReader(const std::filesystem::path& path, TextOptions options = {},
                      std::int64_t chunk_bytes = kDefaultChunkBytes);

  /// The next piece, about chunk_bytes long, cut where every tokenizer has a boundary; false at the end.
  /// Throws UserError at a NUL byte (unless allowed) with its offset.
  [[nodiscard]] bool next(std::string& chunk);
  /// Complete once next() has returned false.
  [[nodiscard]] const TextReport& report() const { return report_; }

 private:
  void detect_encoding();
  [[nodiscard]] bool read_block();
  void convert_block(std::string_view block);

  std::filesystem::path path_;
  TextOptions options_;
  std::size_t chunk_bytes_;
  std::ifstream file_;
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

/// Reads a whole file through TextReader and says what was converted.
[[nodiscard]] Text read_text(const std::filesystem::path& path, Logger& log, TextOptions options = {});

}  // namespace virgil
