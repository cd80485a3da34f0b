// Figures for people.
#pragma once

#include <cstdint>
#include <string>

namespace virgil {

/// "1,234,567".
[[nodiscard]] std::string format_count(std::int64_t count);

/// "1.50", in GiB (2^30 bytes).
[[nodiscard]] std::string format_gib(std::int64_t bytes);
/// A figure to be printed: a NaN without its sign, which says nothing ("-nan" is what x86 makes of inf - inf).
[[nodiscard]] double plain_nan(double value);

/// "386.2 MiB".
[[nodiscard]] std::string format_bytes(std::int64_t bytes);
/// "41s", "35m12s", "2h05m", from two days on "3d04h". "?" for what is no duration.
[[nodiscard]] std::string format_duration(double seconds);
/// For a sentence: as format_duration, from two days on "3 days", from two years on "2.3 years", "1,175 years".
[[nodiscard]] std::string duration_in_words(double seconds);

}  // namespace virgil
