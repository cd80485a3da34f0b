// Figures for people.
#pragma once

#include <cstdint>
#include <string>

namespace virgil {

/// "1,234,567".
[[nodiscard]] std::string format_count(std::int64_t count);

/// "1.50", in GiB (2^30 bytes).
[[nodiscard]] std::string format_gib(std::int64_t bytes);

}  // namespace virgil
