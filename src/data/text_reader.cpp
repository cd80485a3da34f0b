#include "virgil/data/text_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "data/text_conversion.h"
#include "data/text_cuts.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

void check_is_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw user_error("{}: no such file; give the path of a text file", path.string());
  }
  if (error) throw user_error("{}: {}", path.string(), error.message());
  if (!std::filesystem::is_regular_file(status)) throw user_error("{}: not a regular file; give a text file", path.string());
  if (std::filesystem::file_size(path) == 0)
    throw user_error("{}: the file is empty; give a text to learn from", path.string());
}

}  // namespace

TextReader::TextReader(const std::filesystem::path& path, TextOptions options, std::int64_t chunk_bytes)
    : path_(path), options_(options), chunk_bytes_(static_cast<std::size_t>(chunk_bytes)) {
  VIRGIL_CHECK(chunk_bytes >= 8, "chunk_bytes is {}, less than a character may need", chunk_bytes);
  check_is_file(path);
  file_.open(path, std::ios::binary);
  if (!file_) throw user_error("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  // One byte more than the file, so that its end is seen at the first reading.
  chunk_bytes_ =
      std::max<std::size_t>(8, std::min(chunk_bytes_, static_cast<std::size_t>(std::filesystem::file_size(path)) + 1));
  (void)read_block();
  detect_encoding();
  if (raw_.empty()) throw user_error("{}: holds a byte order mark and nothing else; give a text to learn from", path.string());
}

void TextReader::detect_encoding() {
  const DetectedEncoding detected = detect_text_encoding(raw_, path_);
  report_.encoding = detected.encoding;
  report_.had_byte_order_mark = detected.mark_bytes > 0;
  raw_.erase(0, detected.mark_bytes);
  raw_offset_ = static_cast<std::int64_t>(detected.mark_bytes);
}

bool TextReader::read_block() {
  const std::size_t kept = raw_.size();
  raw_.resize(kept + chunk_bytes_);
  file_.read(raw_.data() + kept, static_cast<std::streamsize>(chunk_bytes_));
  raw_.resize(kept + static_cast<std::size_t>(file_.gcount()));
  if (file_.bad()) throw user_error("{}: reading failed after {} bytes", path_.string(), raw_offset_);
  return raw_.size() > kept;
}

void TextReader::convert_block(std::string_view block) {
  if (report_.encoding != TextReport::Encoding::kUtf8) {
    utf8_.clear();
    convert_utf16(block, raw_offset_, report_, utf8_);
    check_no_nul(utf8_, options_.allow_nul, path_, -1);
    append_with_lf(utf8_, report_, ready_);
  } else {
    check_no_nul(block, options_.allow_nul, path_, raw_offset_);
    count_invalid_utf8(block, raw_offset_, report_);
    append_with_lf(block, report_, ready_);
  }
}

bool TextReader::next(std::string& chunk) {
  for (;;) {
    const bool more = raw_.size() >= chunk_bytes_ || read_block();
    const std::size_t usable = more ? whole_units(raw_, report_.encoding) : raw_.size();
    convert_block(std::string_view(raw_).substr(0, usable));
    raw_.erase(0, usable);
    raw_offset_ += static_cast<std::int64_t>(usable);
    // Without a boundary in a whole chunk the text is one long word: read on until it ends.
    const std::size_t cut = more ? find_last_word_cut(ready_, uncut_) : ready_.size();
    if (more && cut == 0) {
      uncut_ = ready_.size();
      continue;
    }
    chunk.assign(ready_, 0, cut);
    ready_.erase(0, cut);
    uncut_ = ready_.size();
    return !chunk.empty();
  }
}

void log_text_report(const TextReport& report, const std::filesystem::path& path, Logger& log) {
  const bool utf8 = report.encoding == TextReport::Encoding::kUtf8;
  if (!utf8) {
    const bool little = report.encoding == TextReport::Encoding::kUtf16LittleEndian;
    log.info(fmt::format("{}: converted from UTF-16 ({}-endian) to UTF-8", path.string(), little ? "little" : "big"));
  } else if (report.had_byte_order_mark) {
    log.info(fmt::format("{}: removed a byte order mark", path.string()));
  }
  if (report.num_crlf > 0) log.info(fmt::format("{}: turned {} line ends from CRLF into LF", path.string(), report.num_crlf));
  if (report.num_invalid == 0) return;
  if (utf8) {
    log.warn(
        fmt::format("{}: {} bytes are not valid UTF-8, the first at offset {}; they are kept as they are. If the text is in "
                    "another encoding, convert it: iconv -f ISO-8859-1 -t UTF-8",
                    path.string(), report.num_invalid, report.first_invalid_offset));
  } else {
    log.warn(fmt::format("{}: {} lone surrogates, the first at offset {}, became U+FFFD", path.string(), report.num_invalid,
                         report.first_invalid_offset));
  }
}

Text read_text(const std::filesystem::path& path, Logger& log, TextOptions options) {
  TextReader reader(path, options);
  Text text{path, {}};
  std::string chunk;
  while (reader.next(chunk)) text.bytes += chunk;
  log_text_report(reader.report(), path, log);
  return text;
}

}  // namespace virgil
