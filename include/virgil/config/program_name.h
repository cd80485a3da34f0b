// Programs as their users start them, for the commands that messages offer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace virgil {

/// "build/" of "build/train", which a program finds in argv[0]; empty where the shell found it on its PATH.
[[nodiscard]] std::string program_folder(std::string_view started_as);

/// A program of the same folder, quoted for a shell: "build/generate".
[[nodiscard]] std::string program_command(const std::string& folder, std::string_view program);
/// "build/train", "mpirun -n 8 build/train".
[[nodiscard]] std::string train_command(const std::string& folder, std::int64_t processes);

}  // namespace virgil
