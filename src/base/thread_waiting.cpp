#include "virgil/base/thread_waiting.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace virgil {
namespace {

constexpr const char* kSpinCount = "GOMP_SPINCOUNT";
constexpr const char* kStartedAgain = "VIRGIL_STARTED_AGAIN";
/// Loops, a tenth of libgomp's own: three quarters of a millisecond on an EPYC, longer than threads wait for each other in a
/// step that has the cores for itself. Shorter ones gain little beside other programs, and cost up to a tenth of a step
/// without them.
constexpr const char* kBriefSpin = "30000";

void forget() noexcept {
  ::unsetenv(kStartedAgain);
  ::unsetenv(kSpinCount);
}

}  // namespace

bool is_thread_waiting_chosen() {
  constexpr std::array kNames = {kSpinCount, "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY"};
  return std::ranges::any_of(kNames, [](const char* name) { return std::getenv(name) != nullptr; });
}

void bound_thread_waiting(char** argv) noexcept {
  if (std::getenv(kStartedAgain) != nullptr) return forget();  // libgomp has read it, and programs started from here need not
  if (is_thread_waiting_chosen()) return;
  // By its own path: started as /proc/self/exe, it would be listed under the name "exe".
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || ::setenv(kStartedAgain, "1", 1) != 0 || ::setenv(kSpinCount, kBriefSpin, 1) != 0) return forget();
  ::execv(program.c_str(), argv);
  forget();
}

}  // namespace virgil
