// Signals change a process for good, so each case has one of its own.
#include "virgil/base/stop_signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace virgil {
namespace {

/// How a child ended that ran `body`, and what it wrote to standard error.
struct Ending {
  int status = 0;
  std::string said;
};

Ending run_in_child(const std::function<int()>& body) {
  int ends[2];
  if (pipe(ends) != 0) return {-1, "no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    std::_Exit(body());
  }
  close(ends[1]);
  Ending ending;
  char buffer[512];
  for (ssize_t size = 0; (size = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    ending.said.append(buffer, static_cast<std::size_t>(size));
  }
  close(ends[0]);
  waitpid(child, &ending.status, 0);
  return ending;
}

void wait_until_requested(const StopSignal& stop) {
  while (!stop.requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(StopSignal, AnswersTheFirstSignalWithWhatWillHappen) {
  for (const auto& [signal, name] : {std::pair(SIGINT, "SIGINT"), std::pair(SIGTERM, "SIGTERM"), std::pair(SIGHUP, "SIGHUP"),
                                     std::pair(SIGUSR1, "SIGUSR1")}) {
    const Ending ending = run_in_child([signal = signal] {
      std::signal(SIGHUP, SIG_DFL);
      StopSignal stop;
      stop.foresee("after this step", "a checkpoint is written", false);
      if (stop.requested()) return 1;
      kill(getpid(), signal);
      wait_until_requested(stop);
      return 7;
    });
    ASSERT_TRUE(WIFEXITED(ending.status)) << ending.status;
    EXPECT_EQ(WEXITSTATUS(ending.status), 7);
    EXPECT_EQ(ending.said, std::string(name) + ": stopping after this step: a checkpoint is written; once more to stop now\n");
  }
}

TEST(StopSignal, NamesThePhaseThatIsInterrupted) {
  std::string said;
  {
    StopSignal stop([&](std::string_view line) { said = line; });
    stop.foresee("at once", "nothing is kept", false);
    stop.set_phase("reading");
    stop.request("the output was closed");
    stop.request("once more");
    EXPECT_TRUE(stop.requested());
  }
  EXPECT_EQ(said, "the output was closed: stopping while reading: nothing is kept; once more to stop now");
}

TEST(StopSignal, EndsAtTheSecondSignalByThatSignal) {
  const Ending ending = run_in_child([] {
    StopSignal stop;
    stop.foresee("after this step", "a checkpoint is written", false);
    kill(getpid(), SIGINT);
    wait_until_requested(stop);
    while (true) {  // the first ones come too early to be meant as another
      kill(getpid(), SIGTERM);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(ending.status)) << ending.status;
  EXPECT_EQ(WTERMSIG(ending.status), SIGTERM);
}

TEST(StopSignal, EndsWorkThatMayBeAbandoned) {
  const Ending ending = run_in_child([] {
    StopSignal stop;
    stop.foresee("at once", "nothing is kept", true);
    kill(getpid(), SIGTERM);
    while (true) pause();
    return 0;
  });
  ASSERT_TRUE(WIFEXITED(ending.status)) << ending.status;
  EXPECT_EQ(WEXITSTATUS(ending.status), 130);
}

TEST(StopSignal, CleansUpBeforeItEndsTheProcess) {
  for (const bool abandonable : {true, false}) {
    const Ending ending = run_in_child([&] {
      StopSignal stop;
      stop.foresee("at once", "nothing is kept", abandonable);
      stop.on_abandon([] { static_cast<void>(!write(STDERR_FILENO, "cleaned\n", 8)); });
      kill(getpid(), SIGTERM);
      while (abandonable) pause();
      wait_until_requested(stop);
      while (true) {  // by a second signal
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        kill(getpid(), SIGTERM);
      }
      return 0;
    });
    EXPECT_EQ(WIFEXITED(ending.status), abandonable);
    EXPECT_TRUE(ending.said.ends_with("cleaned\n")) << ending.said;
  }
}

TEST(StopSignal, LeavesHangUpsIgnoredUnderNohup) {
  const Ending ending = run_in_child([] {
    std::signal(SIGHUP, SIG_IGN);
    StopSignal stop;
    kill(getpid(), SIGHUP);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return stop.requested() ? 1 : 7;
  });
  ASSERT_TRUE(WIFEXITED(ending.status));
  EXPECT_EQ(WEXITSTATUS(ending.status), 7);
}

}  // namespace
}  // namespace virgil
