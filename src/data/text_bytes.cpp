#include "virgil/data/text_bytes.h"

#include <cstdint>
#include <istream>

#include "data/text_conversion.h"

namespace virgil {

namespace {

using Encoding = TextReport::Encoding;

/// `bytes` in the report's encoding, without a byte order mark. `offset` is theirs in the whole.
std::string convert_bytes(std::string_view bytes, std::int64_t offset, TextReport& report) {
  std::string utf8;
  if (report.encoding != Encoding::kUtf8) {
    convert_utf16(bytes, offset, report, utf8);
    bytes = utf8;
  } else {
    count_invalid_utf8(bytes, offset, report);
  }
  std::string text;
  append_with_lf(bytes, report, text);
  return text;
}

}  // namespace

std::string convert_text(std::string_view bytes, const std::filesystem::path& name, Logger& log) {
  const DetectedEncoding detected = detect_text_encoding(bytes, name);
  TextReport report;
  report.encoding = detected.encoding;
  report.had_byte_order_mark = detected.mark_bytes > 0;
  std::string text = convert_bytes(bytes.substr(detected.mark_bytes), static_cast<std::int64_t>(detected.mark_bytes), report);
  log_text_report(report, name, log);
  return text;
}

bool TextLines::next(std::string& line, Logger& log) {
  std::string raw;
  if (!read_raw(raw)) return false;
  TextReport report;
  report.encoding = encoding_;
  line = convert_bytes(raw, 0, report);
  if (line.ends_with('\n')) line.pop_back();
  // Encoding and line ends are the stream's, and not worth a note at every line.
  report.encoding = Encoding::kUtf8;
  report.num_crlf = 0;
  log_text_report(report, name_, log);
  return true;
}

/// The next line in the stream's own encoding, with its end.
bool TextLines::read_raw(std::string& raw) {
  const auto detect = [&] { return detect_text_encoding(raw, name_); };
  char byte = 0;
  while (in_.get(byte)) {
    raw.push_back(byte);
    if (!knows_encoding_ && raw.size() <= 3) {
      if (const DetectedEncoding mark = detect(); mark.mark_bytes > 0) {
        encoding_ = mark.encoding;
        knows_encoding_ = true;
        raw.clear();
      }
    }
    if (!is_whole(raw)) continue;
    if (!knows_encoding_) encoding_ = detect().encoding;  // UTF-16 without a mark has its NULs by now
    knows_encoding_ = true;
    if (is_whole(raw)) break;
  }
  knows_encoding_ = true;
  return !raw.empty();
}

bool TextLines::is_whole(std::string_view raw) const {
  if (encoding_ == Encoding::kUtf8) return raw.ends_with('\n');
  const std::string_view line_feed(encoding_ == Encoding::kUtf16LittleEndian ? "\n\0" : "\0\n", 2);
  return raw.size() % 2 == 0 && raw.ends_with(line_feed);
}

}  // namespace virgil
