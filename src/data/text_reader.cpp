#include "virgil/data/text_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "data/foreign_input.h"
#include "data/input_stream.h"
#include "data/text_conversion.h"
#include "data/text_cuts.h"
#include "virgil/base/error.h"
#include "virgil/base/shell_quote.h"

namespace virgil {
namespace {

constexpr std::size_t kMostWithoutABoundary = std::size_t{1} << 30;

}  // namespace

TextReader::TextReader(const std::filesystem::path& path, TextOptions options, std::int64_t chunk_bytes)
    : path_(path),
      options_(std::move(options)),
      chunk_bytes_(static_cast<std::size_t>(chunk_bytes)),
      file_(open_input_stream(path)) {
  VIRGIL_CHECK(chunk_bytes >= 8, "chunk_bytes is {}, less than a character may need", chunk_bytes);
  report_.was_compressed = file_->is_compressed();
  if (!report_.was_compressed) {
    // One byte more than the file, so that its end is seen at the first reading.
    chunk_bytes_ =
        std::max<std::size_t>(8, std::min(chunk_bytes_, static_cast<std::size_t>(std::filesystem::file_size(path)) + 1));
  }
  if (!read_block()) throw user_error("{}: the file is empty; give a text to learn from", path.string());
  look_at_start();
  if (raw_.empty()) throw user_error("{}: holds a byte order mark and nothing else; give a text to learn from", path.string());
}

TextReader::TextReader(TextReader&&) noexcept = default;
TextReader::~TextReader() = default;

void TextReader::look_at_start() {
  if (const auto foreign = describe_foreign_input(raw_, path_)) {
    throw user_error("{}: {} {}", path_.string(), report_.was_compressed ? "holds, packed by gzip, what is" : "is", *foreign);
  }
  const DetectedEncoding detected = detect_text_encoding(raw_, path_);
  report_.encoding = detected.encoding;
  report_.had_byte_order_mark = detected.mark_bytes > 0;
  raw_.erase(0, detected.mark_bytes);
  raw_offset_ = static_cast<std::int64_t>(detected.mark_bytes);
  report_.is_web_page = is_web_page(raw_);
  report_.table = describe_table(raw_, path_).value_or("");
}

bool TextReader::read_block() {
  const std::size_t kept = raw_.size();
  raw_.resize(kept + chunk_bytes_);
  const std::size_t count = file_->read(std::span(raw_).subspan(kept));
  raw_.resize(kept + count);
  return count > 0;
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
      if (uncut_ > kMostWithoutABoundary) {
        throw user_error("{}: {} bytes without white space up to offset {}; is it a text?", path_.string(), uncut_,
                         raw_offset_);
      }
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
  if (report.was_compressed) log.info(fmt::format("{}: unpacked with gzip", path.string()));
  if (report.is_web_page) {
    log.warn(
        fmt::format("{}: begins as a web page (HTML or XML) and is read as it is, with its tags; if it should be a text, "
                    "download that, or convert it: pandoc -f html -t plain -o TEXT {}",
                    path.string(), shell_quote(path.string())));
  }
  if (!report.table.empty()) log.warn(fmt::format("{}: looks like {}", path.string(), report.table));
  if (report.num_crlf > 0)
    log.info(fmt::format("{}: converted {} line ending{} from CRLF to LF", path.string(), report.num_crlf,
                         report.num_crlf == 1 ? "" : "s"));
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

bool is_empty_text(const std::filesystem::path& path) {
  std::array<char, 4> start{};
  const std::size_t size = open_input_stream(path)->read(start);
  const std::string_view bytes(start.data(), size);
  return bytes.empty() || bytes == "\xEF\xBB\xBF" || bytes == "\xFF\xFE" || bytes == "\xFE\xFF";
}

Text read_text(const std::filesystem::path& path, Logger& log, TextOptions options) {
  TextReader reader(path, std::move(options));
  Text text{path, {}};
  std::string chunk;
  while (reader.next(chunk)) text.bytes += chunk;
  log_text_report(reader.report(), path, log);
  return text;
}

}  // namespace virgil
