#include "virgil/config/program_name.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/base/shell_quote.h"

namespace virgil {

std::string program_folder(std::string_view started_as) {
  const std::size_t slash = started_as.rfind('/');
  return slash == started_as.npos ? std::string() : std::string(started_as.substr(0, slash + 1));
}

std::string program_command(const std::string& folder, std::string_view program) {
  return shell_quote(folder + std::string(program));
}

std::string train_command(const std::string& folder, std::int64_t processes) {
  const std::string train = program_command(folder, "train");
  return processes == 1 ? train : fmt::format("mpirun -n {} {}", processes, train);
}

}  // namespace virgil
