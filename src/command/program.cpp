#include "virgil/command/program.h"

#include <fmt/format.h>

#include <cstdio>

#include "virgil/base/failure.h"
#include "virgil/base/progress.h"
#include "virgil/base/standard_streams.h"
#include "virgil/base/thread_waiting.h"

namespace virgil {

void StderrLogger::info(std::string_view line) { fmt::print(stderr, "{}\n", line); }
void StderrLogger::warn(std::string_view line) { fmt::print(stderr, "warning: {}\n", line); }

int run_program(int argc, char** argv, const std::function<int(const std::vector<std::string>& arguments)>& body) {
  bound_thread_waiting(argv);
  open_standard_streams();
  try {
    return body(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const HelpShown&) {
    return 0;
  } catch (const Stopped&) {
    return 130;
  } catch (...) {
    const Failure failure = describe_failure(std::current_exception());
    fmt::print(stderr, "{}\n", failure.message);
    return failure.exit_code;
  }
}

}  // namespace virgil
