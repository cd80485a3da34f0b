// The message of the UserError that a call throws.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "virgil/base/error.h"

namespace virgil::test_support {

/// Fails the test and returns an empty string when `call` throws nothing; other exceptions pass through.
template <typename Call>
std::string user_error_of(Call&& call) {
  try {
    call();
  } catch (const UserError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no UserError was thrown";
  return {};
}

}  // namespace virgil::test_support
