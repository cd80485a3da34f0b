#include "virgil/base/thread_waiting.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace virgil {
namespace {

constexpr std::array kNames = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME", "KMP_LIBRARY"};

void forget_choice() {
  for (const char* name : kNames) ::unsetenv(name);
}

/// Restores what the tests' own start has chosen.
class ThreadWaiting : public testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      const char* value = std::getenv(kNames[i]);
      if (value != nullptr) before_[i] = std::string(value);
      had_[i] = value != nullptr;
    }
    forget_choice();
  }
  void TearDown() override {
    forget_choice();
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (had_[i]) ::setenv(kNames[i], before_[i].c_str(), 1);
    }
  }

 private:
  std::array<std::string, kNames.size()> before_;
  std::array<bool, kNames.size()> had_ = {};
};

TEST_F(ThreadWaiting, IsChosenByAnyOfItsVariables) {
  EXPECT_FALSE(is_thread_waiting_chosen());
  for (const char* name : kNames) {
    forget_choice();
    ::setenv(name, "passive", 1);
    EXPECT_TRUE(is_thread_waiting_chosen()) << name;
  }
}

/// The program that starts again is this one, which then does what its arguments say.
TEST_F(ThreadWaiting, StartsTheProgramAgainWithItsArguments) {
  std::string name = "tests";
  std::string list = "--gtest_list_tests";
  std::array<char*, 3> arguments = {name.data(), list.data(), nullptr};
  EXPECT_EXIT(
      {
        bound_thread_waiting(arguments.data());
        std::_Exit(3);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(ThreadWaiting, HasBeenBoundWhenStartedAgainAndLeavesNothingToChildren) {
  ::setenv("VIRGIL_STARTED_AGAIN", "1", 1);
  ::setenv("GOMP_SPINCOUNT", "1000", 1);
  std::string name = "tests";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  bound_thread_waiting(arguments.data());
  EXPECT_EQ(std::getenv("VIRGIL_STARTED_AGAIN"), nullptr);
  EXPECT_EQ(std::getenv("GOMP_SPINCOUNT"), nullptr);
}

TEST_F(ThreadWaiting, ReturnsWhereItIsChosen) {
  ::setenv("OMP_WAIT_POLICY", "active", 1);
  std::string name = "tests";
  std::array<char*, 2> arguments = {name.data(), nullptr};
  bound_thread_waiting(arguments.data());
  EXPECT_EQ(std::getenv("GOMP_SPINCOUNT"), nullptr);
}

}  // namespace
}  // namespace virgil
