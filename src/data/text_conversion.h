// The steps by which TextReader makes UTF-8 with LF line ends of a file's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "virgil/data/text_reader.h"

namespace virgil {

struct DetectedEncoding {
  TextReport::Encoding encoding = TextReport::Encoding::kUtf8;
  std::size_t mark_bytes = 0;  // length of the byte order mark
};
/// From the first bytes of a file. Throws UserError on UTF-32.
[[nodiscard]] DetectedEncoding detect_text_encoding(std::string_view start, const std::filesystem::path& path);

/// The longest prefix that ends neither inside a character nor between CR and LF.
[[nodiscard]] std::size_t whole_units(std::string_view raw, TextReport::Encoding encoding);

/// Appends UTF-16 as UTF-8; lone surrogates and a lone last byte become U+FFFD and are counted. `offset` is the block's in its
/// file.
void convert_utf16(std::string_view block, std::int64_t offset, TextReport& report, std::string& out);

/// Counts bytes that belong to no well-formed character.
void count_invalid_utf8(std::string_view block, std::int64_t offset, TextReport& report);

/// Throws UserError at the first NUL unless allowed; a negative offset stands for unknown.
void check_no_nul(std::string_view block, bool allow_nul, const std::filesystem::path& path, std::int64_t offset);

/// Appends the block with LF for every CRLF, and counts them.
void append_with_lf(std::string_view block, TextReport& report, std::string& out);

}  // namespace virgil
