// Values out of files and flags that nobody vouches for, in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace virgil {

/// `text` cut to `longest` bytes, at a character's border, with "..." where something was left out.
[[nodiscard]] std::string excerpt(std::string_view text, std::size_t longest = 120);

/// An excerpt in quotes as JSON writes it: without control characters (which a terminal would obey) and always valid UTF-8.
[[nodiscard]] std::string quoted_excerpt(std::string_view text, std::size_t longest = 120);

/// `message` with each line shortened in its middle to a readable length: values out of files and flags may be of any.
[[nodiscard]] std::string bounded_message(std::string_view message);

}  // namespace virgil
