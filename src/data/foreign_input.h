// What a file is that is neither a text nor holds token ids, and how to get a text or ids out of it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace virgil {

/// How many bytes of a file the functions below look at.
inline constexpr std::size_t kForeignInputBytes = 512;

/// Recognises archives, documents, tables, arrays, pictures and other binary files by their first bytes, whatever their name.
/// Returns what it is and the command that converts it, to follow "PATH: is "; nothing for texts and token files. What gzip has
/// compressed counts as foreign: a reader that unpacks it looks at what is inside.
[[nodiscard]] std::optional<std::string> describe_foreign_input(std::string_view start, const std::filesystem::path& path);

/// The same for a file that should hold token ids and nothing else, where two or three bytes of a signature may well be ids.
[[nodiscard]] std::optional<std::string> describe_foreign_ids(std::string_view start, const std::filesystem::path& path);

/// Whether a file begins as gzip's do (RFC 1952).
[[nodiscard]] bool is_gzip(std::string_view start);
/// Whether it begins as an HTML or XML page does.
[[nodiscard]] bool is_web_page(std::string_view start);
/// Whether nearly all of it can be printed: no NULs and hardly any control characters. `start` has at least 16 bytes.
[[nodiscard]] bool looks_like_text(std::string_view start);

/// Recognises a table of comma- or tab-separated values at the beginning of a text: a header of names, and rows of as many
/// fields. Returns its columns and the command that makes a text of one of them, to follow "PATH: looks like "; nothing for
/// prose, whose lines differ in their commas.
[[nodiscard]] std::optional<std::string> describe_table(std::string_view start, const std::filesystem::path& path);

}  // namespace virgil
