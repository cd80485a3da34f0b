// What the page's charts do under a pointer.
#pragma once

#include <string_view>

namespace virgil {

/// JavaScript that shows, beside the pointer, the values of all lines there; it reads what draw_chart wrote. Without it the
/// page lacks nothing else.
[[nodiscard]] std::string_view hover_script();

}  // namespace virgil
