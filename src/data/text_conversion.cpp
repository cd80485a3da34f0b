#include "data/text_conversion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "virgil/base/error.h"
#include "virgil/base/utf8.h"

namespace virgil {
namespace {

using Encoding = TextReport::Encoding;

std::uint32_t utf16_unit(std::string_view raw, std::size_t position, Encoding encoding) {
  const auto first = static_cast<std::uint32_t>(static_cast<unsigned char>(raw[position]));
  const auto second = static_cast<std::uint32_t>(static_cast<unsigned char>(raw[position + 1]));
  return encoding == Encoding::kUtf16LittleEndian ? first | (second << 8) : second | (first << 8);
}

constexpr bool is_high_surrogate(std::uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
constexpr bool is_low_surrogate(std::uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

void count_invalid(TextReport& report, std::int64_t offset) {
  if (report.num_invalid++ == 0) report.first_invalid_offset = offset;
}

// UTF-16 without a mark: NULs in at least half of the odd (or even) bytes of the start, and hardly any in the others (a
// character such as U+6F00 has one there).
Encoding guess_encoding(std::string_view start) {
  constexpr std::size_t kProbeBytes = 4096;
  const std::string_view probe = start.substr(0, std::min(start.size(), kProbeBytes) & ~std::size_t{1});
  std::size_t nuls[2] = {0, 0};
  for (std::size_t i = 0; i < probe.size(); ++i) nuls[i & 1] += probe[i] == '\0' ? 1 : 0;
  const std::size_t enough = std::max<std::size_t>(2, probe.size() / 4);
  if (nuls[1] >= enough && nuls[0] * 16 <= nuls[1]) return Encoding::kUtf16LittleEndian;
  if (nuls[0] >= enough && nuls[1] * 16 <= nuls[0]) return Encoding::kUtf16BigEndian;
  return Encoding::kUtf8;
}

}  // namespace

DetectedEncoding detect_text_encoding(std::string_view start, const std::filesystem::path& path) {
  using namespace std::string_view_literals;
  if (start.starts_with("\xFF\xFE\0\0"sv) || start.starts_with("\0\0\xFE\xFF"sv)) {
    throw user_error("{}: is UTF-32, which is not read; convert it: iconv -f UTF-32 -t UTF-8", path.string());
  }
  if (start.starts_with("\xEF\xBB\xBF"sv)) return {Encoding::kUtf8, 3};
  if (start.starts_with("\xFF\xFE"sv)) return {Encoding::kUtf16LittleEndian, 2};
  if (start.starts_with("\xFE\xFF"sv)) return {Encoding::kUtf16BigEndian, 2};
  return {guess_encoding(start), 0};
}

std::size_t whole_units(std::string_view raw, Encoding encoding) {
  if (encoding == Encoding::kUtf8) {
    std::size_t end = raw.size();
    for (int i = 0; i < 3 && end > 0 && is_continuation_byte(raw[end - 1]); ++i) --end;
    // raw[end - 1] may lead a character whose last bytes are still to be read; the next block brings it again.
    if (end > 0 && (static_cast<unsigned char>(raw[end - 1]) >= 0xC0 || raw[end - 1] == '\r')) --end;
    return end;
  }
  std::size_t end = raw.size() & ~std::size_t{1};
  if (end < 2) return 0;
  const std::uint32_t last = utf16_unit(raw, end - 2, encoding);
  return is_high_surrogate(last) || last == '\r' ? end - 2 : end;
}

void convert_utf16(std::string_view block, std::int64_t offset, TextReport& report, std::string& out) {
  constexpr std::uint32_t kReplacement = 0xFFFD;
  out.reserve(out.size() + block.size());
  std::size_t i = 0;
  for (; i + 1 < block.size(); i += 2) {
    std::uint32_t unit = utf16_unit(block, i, report.encoding);
    const bool has_next = i + 3 < block.size();
    if (is_high_surrogate(unit) && has_next && is_low_surrogate(utf16_unit(block, i + 2, report.encoding))) {
      unit = 0x10000 + ((unit - 0xD800) << 10) + (utf16_unit(block, i + 2, report.encoding) - 0xDC00);
      i += 2;
    } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
      count_invalid(report, offset + static_cast<std::int64_t>(i));
      unit = kReplacement;
    }
    append_utf8(out, unit);
  }
  if (i < block.size()) {
    count_invalid(report, offset + static_cast<std::int64_t>(i));
    append_utf8(out, kReplacement);
  }
}

void count_invalid_utf8(std::string_view block, std::int64_t offset, TextReport& report) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080U;
  for (std::size_t i = 0; i < block.size();) {
    std::uint64_t eight = 0;
    if (i + 8 <= block.size()) {
      std::memcpy(&eight, block.data() + i, 8);
      if ((eight & kHighBits) == 0) {
        i += 8;
        continue;
      }
    }
    const Utf8Char character = decode_utf8(block, i);
    if (character.length == 0) count_invalid(report, offset + static_cast<std::int64_t>(i));
    i += std::max(character.length, 1U);
  }
}

void check_no_nul(std::string_view block, bool allow_nul, const std::filesystem::path& path, std::int64_t offset) {
  if (allow_nul) return;
  const std::size_t nul = block.find('\0');
  if (nul == std::string_view::npos) return;
  const std::string where = offset < 0 ? "" : fmt::format(" at offset {}", offset + static_cast<std::int64_t>(nul));
  throw user_error("{}: holds a NUL byte{}, so it is not a text; give a text file, or --force to take it as it is",
                   path.string(), where);
}

void append_with_lf(std::string_view block, TextReport& report, std::string& out) {
  out.reserve(out.size() + block.size());
  for (std::size_t start = 0; start < block.size();) {
    const std::size_t end = std::min(block.find("\r\n", start), block.size());
    out.append(block, start, end - start);
    if (end < block.size()) {
      out.push_back('\n');
      ++report.num_crlf;
    }
    start = end + (end < block.size() ? 2 : 0);
  }
}

}  // namespace virgil
