#include "virgil/base/child_process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace virgil {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string read_back(std::FILE* file) {
  std::rewind(file);
  std::string text(100, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(ChildProcess, GivesItsExitStatusAndTakesItsWordsAsTheyAre) {
  const std::vector<std::string> words = {"-c", "test \"$1\" = \"a b;'c\" && exit 7", "sh", "a b;'c"};
  EXPECT_EQ(ChildProcess("sh", words).wait(), 7);
}

TEST(ChildProcess, HasTheStreamsThatItIsGiven) {
  const File in(std::tmpfile(), std::fclose), out(std::tmpfile(), std::fclose), err(std::tmpfile(), std::fclose);
  std::fputs("said\n", in.get());
  std::rewind(in.get());
  const std::vector<std::string> words = {"-c", "cat; echo wrong >&2"};
  const ChildStreams streams{.in = fileno(in.get()), .out = fileno(out.get()), .err = fileno(err.get())};
  EXPECT_EQ(ChildProcess("sh", words, streams).wait(), 0);
  EXPECT_EQ(read_back(out.get()), "said\n");
  EXPECT_EQ(read_back(err.get()), "wrong\n");
}

TEST(ChildProcess, IsWaitedForWithoutWaitingAndStopsWhenAsked) {
  const std::vector<std::string> words = {"60"};
  ChildProcess child("sleep", words);
  EXPECT_EQ(child.exit_status(), std::nullopt);
  child.ask_to_stop();
  std::optional<int> status;
  while (!(status = child.exit_status())) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(status, 128 + SIGTERM);
}

TEST(ChildProcess, ThatIsNotThereSaysSo) {
  try {
    ChildProcess("no-such-program-of-virgil", {});
    FAIL() << "it was started";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  }
}

}  // namespace
}  // namespace virgil
