// How a program ends on an exception.
#pragma once

#include <exception>
#include <string>

namespace virgil {

struct Failure {
  int exit_code = 1;    // 2: something its user can mend; 1: an error inside Virgil
  std::string message;  // with "error: " or "internal error: " before it, of bounded length
};

/// What `error`, which must not be null, means to the user. Refused memory, paths that cannot be used and threads that cannot
/// be started are the user's to mend, whoever threw them.
[[nodiscard]] Failure describe_failure(const std::exception_ptr& error);

}  // namespace virgil
