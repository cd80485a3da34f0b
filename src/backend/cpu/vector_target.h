// Which vector instructions the processor offers and the sources were compiled for.
#pragma once

#include <string_view>

namespace virgil::cpu {

/// "AVX-512", "AVX2", "NEON" or "scalar": what the vector sources run with.
[[nodiscard]] std::string_view vector_target_name();

}  // namespace virgil::cpu
