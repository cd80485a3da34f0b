// Figures for people.
#pragma once

#include <cstdint>
#include <string>

namespace virgil {

/// "1,234,567".
[[nodiscard]] std::string format_count(std::int64_t count);

}  // namespace virgil
