// The exceptions Virgil throws. The library never prints and never exits: programs map these to exit codes.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace virgil {

/// Base of everything Virgil throws. what() is the whole message: what is wrong, where, and how to mend it.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Something outside the program is wrong and its user can mend it: a flag, a config, a file, a full disk.
/// Programs exit with 2.
class UserError : public Error {
 public:
  using Error::Error;
};

/// Memory was refused, before or during allocation. what() lists who holds what.
class OutOfMemoryError : public UserError {
 public:
  using UserError::UserError;
};

/// A contract inside Virgil was broken: a shape, a dtype, a call out of order. Programs exit with 1.
class InternalError : public Error {
 public:
  using Error::Error;
};

/// UserError with a formatted message: user_error("{}: not a file", path).
template <typename... Args>
[[nodiscard]] UserError user_error(fmt::format_string<Args...> format, Args&&... args) {
  return UserError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace virgil

/// Throws InternalError with file, line, the condition and a formatted message when `condition` is false.
#define VIRGIL_CHECK(condition, ...)                                                                             \
  do {                                                                                                           \
    if (!(condition))                                                                                            \
      throw ::virgil::InternalError(                                                                             \
          fmt::format("{}:{}: check failed: {}: {}", __FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__))); \
  } while (false)
