#include "virgil/base/ticker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace virgil {
namespace {

TEST(Ticker, CallsAgainAndAgainUntilItGoes) {
  int calls = 0;  // of the ticker's thread, until it has been joined
  {
    std::promise<void> third;
    const Ticker ticker(std::chrono::milliseconds(1), [&] {
      if (++calls == 3) third.set_value();
    });
    third.get_future().wait();
  }
  EXPECT_GE(calls, 3);
}

TEST(Ticker, EndsWithoutWaitingForItsPeriod) {
  const Ticker ticker(std::chrono::hours(24), [] { FAIL(); });
}

}  // namespace
}  // namespace virgil
