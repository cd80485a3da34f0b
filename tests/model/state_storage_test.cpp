#include "virgil/model/state_storage.h"

#include <gtest/gtest.h>

#include <string>

#include "virgil/base/error.h"

namespace virgil {
namespace {

TEST(StateStorage, NamesAreThoseOfTheTypes) {
  for (const std::string& name : state_storage_names()) EXPECT_EQ(name_of(state_storage_named(name)), name);
  EXPECT_THROW((void)state_storage_named("int32"), InternalError);
}

TEST(StateStorage, TheSmallestTakesNoMoreThanAnyOther) {
  for (const std::string& name : state_storage_names()) {
    EXPECT_LE(smallest_state_storage().bytes_for(64), state_storage_named(name).bytes_for(64)) << name;
  }
}

}  // namespace
}  // namespace virgil
