// Lengths of time as people write them.
#pragma once

#include <string_view>

namespace virgil {

/// "2h", "90min", "1h30m", "1.5 days", "3d12h" -> seconds. Throws UserError on anything else, also on a number without a unit.
[[nodiscard]] double parse_duration(std::string_view text);

}  // namespace virgil
