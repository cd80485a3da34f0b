#include "virgil/config/program_version.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace virgil {

std::string program_version(std::string_view program) { return fmt::format("{}, Virgil {}\n", program, VIRGIL_VERSION); }

}  // namespace virgil
