#include "virgil/data/input_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/gzip_bytes.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class InputFilesTest : public testing::Test {
 protected:
  std::string write(const std::string& name, std::string_view bytes) {
    const std::filesystem::path path = directory_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    test_support::write_all(path, bytes);
    return path.string();
  }
  std::string at(const std::string& name) { return (directory_.path() / name).string(); }
  std::vector<std::string> expand(const std::vector<std::string>& inputs) {
    std::vector<std::string> names;
    for (const auto& path : expand_inputs(inputs, log_)) names.push_back(path.filename().string());
    return names;
  }
  std::string error_of(const std::string& input) {
    return user_error_of([&] { (void)expand({input}); });
  }

  test_support::TemporaryDirectory directory_;
  RecordingLogger log_;
};

TEST_F(InputFilesTest, LeavesEmptyFilesOfAFolderOut) {
  write("t/a.txt", "a");
  write("t/b.txt", "");
  write("t/c.txt", "\xEF\xBB\xBF");
  write("t/d.txt", test_support::gzip_nothing());
  write("t/e.txt", "e");
  EXPECT_THAT(expand({at("t")}), ElementsAre("a.txt", "e.txt"));
  EXPECT_THAT(log_.lines(), ElementsAre(AllOf(HasSubstr("3 empty files are left out"), HasSubstr("b.txt"))));
  EXPECT_THAT(expand({at("t/[ab].txt")}), ElementsAre("a.txt"));
  EXPECT_THAT(log_.lines().back(), HasSubstr("an empty file is left out"));
  EXPECT_THAT(error_of(at("t/[bc].txt")), HasSubstr("all of its 2 files are empty"));
  EXPECT_THAT(expand({at("t/b.txt")}), ElementsAre("b.txt"));  // named itself: its reader refuses it
}

TEST_F(InputFilesTest, SuggestsTheNameThatWasMeant) {
  write("divine_comedy.txt", "a");
  EXPECT_THAT(error_of(at("divine_comdy.txt")), HasSubstr("did you mean " + at("divine_comedy.txt")));
  EXPECT_THAT(error_of(at("something_else.md")), HasSubstr("give a text file, a folder"));
  EXPECT_THAT(error_of(at("no/such/folder.txt")), HasSubstr("no such file"));
}

TEST_F(InputFilesTest, NamesWhatIsNoFileOfThisMachine) {
  EXPECT_THAT(error_of("https://example.org/a.txt"), HasSubstr("curl -LO https://example.org/a.txt"));
  EXPECT_THAT(error_of("s3://bucket/a.txt"), HasSubstr("not fetched"));
  for (const char* input : {"-", "/dev/stdin"}) EXPECT_THAT(error_of(input), HasSubstr("standard input is not read"));
  EXPECT_THAT(error_of(""), HasSubstr("empty"));
  const std::string pipe = at("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(user_error_of([&] { (void)is_token_file(pipe); }), HasSubstr("is a pipe"));
}

TEST_F(InputFilesTest, TellsTokenFilesByNameAndByContent) {
  EXPECT_TRUE(is_token_file("anything.bin"));
  EXPECT_TRUE(is_token_file(write("tokens", "VIRGILTK and more")));
  EXPECT_TRUE(is_token_file(write("tokens.dat", std::string("\x88\xD8\x34\x01\x01\0\0\0", 8))));
  EXPECT_FALSE(is_token_file(write("text", "VIRGIL")));
}

TEST_F(InputFilesTest, NamesInputsFromTheRoot) {
  const std::filesystem::path before = std::filesystem::current_path();
  write("a[1]/t/x.txt", "x");
  std::filesystem::current_path(at("a[1]"));
  const std::string file = absolute_input("./t/x.txt");
  const std::string pattern = absolute_input("t/*.txt");
  std::filesystem::current_path(before);
  EXPECT_EQ(std::filesystem::weakly_canonical(file), std::filesystem::weakly_canonical(at("a[1]/t/x.txt")));
  EXPECT_THAT(expand({pattern}), ElementsAre("x.txt"));
  EXPECT_EQ(absolute_input("/a/../b"), "/a/../b");
}

}  // namespace
}  // namespace virgil
