// Text out of files in HTML and in SVG.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace virgil {

/// `text` as character data of HTML and XML, also within quotes. Control characters are shown as pictures of them (U+2400 and
/// on), but for line feeds and tabs; what turns the direction of writing, what XML forbids and what is not UTF-8 as U+FFFD.
[[nodiscard]] std::string markup_text(std::string_view text);

/// `text` in one line of at most `characters`, shortened in its middle.
[[nodiscard]] std::string short_name(std::string_view text, std::size_t characters);

}  // namespace virgil
