// The version of the programs.
#pragma once

#include <string>
#include <string_view>

namespace virgil {

/// "train, Virgil 0.1.0": what --version prints.
[[nodiscard]] std::string program_version(std::string_view program);

}  // namespace virgil
