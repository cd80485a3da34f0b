#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "virgil/dist/launch.h"

namespace virgil {

namespace {

/// Set in each process by a launcher; the number of processes.
constexpr const char* kSizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
/// Set in each process by a launcher, which does not tell how many there are. (SLURM_NTASKS does not count: Slurm sets it in
/// the shell of an allocation too.)
constexpr const char* kRanks[] = {"PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"};

}  // namespace

int launched_processes() {
  for (const char* name : kSizes) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view text(value);
    int size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error == std::errc() && end == text.data() + text.size() && size >= 1) return size;
  }
  return is_launched() ? 0 : 1;
}

bool is_launched() {
  const auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  return std::ranges::any_of(kSizes, is_set) || std::ranges::any_of(kRanks, is_set);
}

}  // namespace virgil
