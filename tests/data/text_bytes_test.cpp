#include "virgil/data/text_bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/user_error.h"

namespace virgil {
namespace {

using namespace std::string_view_literals;
using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TextBytes : public testing::Test {
 protected:
  std::string convert(std::string_view bytes) { return convert_text(bytes, "standard input", log_); }
  std::vector<std::string> lines(std::string_view bytes) {
    std::istringstream in{std::string(bytes)};
    TextLines reader(in, "standard input");
    std::vector<std::string> found;
    for (std::string line; reader.next(line, log_);) found.push_back(line);
    return found;
  }

  RecordingLogger log_;
};

TEST_F(TextBytes, BecomeWhatAFileWouldBecome) {
  EXPECT_EQ(convert("a\r\nb\rc\n"), "a\nb\rc\n");
  EXPECT_EQ(convert("\xEF\xBB\xBFNel mezzo"), "Nel mezzo");
  EXPECT_EQ(convert("\xFF\xFE\xE8\0\r\0\n\0"sv), "\xC3\xA8\n");
  EXPECT_EQ(convert("\xFE\xFF\0\xE8\0\r\0\n"sv), "\xC3\xA8\n");
  EXPECT_EQ(convert("a\0b\0c\0d\0"sv), "abcd") << "no mark, but NULs in every other byte";
  EXPECT_EQ(convert(""), "");
  EXPECT_EQ(convert("\xEF\xBB\xBF"), "") << "a mark and nothing else";
  EXPECT_EQ(convert("x\0y"sv), "x\0y"sv) << "what it means is for others to say";
  EXPECT_THAT(log_.lines(), Contains(HasSubstr("standard input: removed a byte order mark")));
  EXPECT_THAT(log_.lines(), Contains(HasSubstr("standard input: converted 1 line ending from CRLF to LF")));
}

TEST_F(TextBytes, KeepWhatIsNotUtf8AndSayWhere) {
  EXPECT_EQ(convert("citt\xE0"), "citt\xE0");
  EXPECT_THAT(log_.lines(), ElementsAre(AllOf(HasSubstr("1 bytes are not valid UTF-8"), HasSubstr("offset 4"))));
}

TEST_F(TextBytes, InUtf32AreRefused) {
  EXPECT_THAT(user_error_of([&] { (void)convert("\xFF\xFE\0\0a\0\0\0"sv); }), HasSubstr("UTF-32"));
}

TEST_F(TextBytes, ComeLineByLine) {
  EXPECT_THAT(lines("ba\nco\n"), ElementsAre("ba", "co"));
  EXPECT_THAT(lines("\xEF\xBB\xBF"
                    "ba\r\n\r\nco"),
              ElementsAre("ba", "", "co"));
  EXPECT_THAT(lines(""), IsEmpty());
  EXPECT_THAT(lines("\n"), ElementsAre(""));
  EXPECT_THAT(log_.lines(), IsEmpty());
}

TEST_F(TextBytes, ComeLineByLineFromUtf16) {
  // U+0A0A and U+0A61 hold the byte of a line feed.
  EXPECT_THAT(lines("\xFF\xFE\x0A\x0A\r\0\n\0\x61\x0A\n\0b\0"sv), ElementsAre("\xE0\xA8\x8A", "\xE0\xA9\xA1", "b"));
  EXPECT_THAT(lines("\xFE\xFF\x0A\x0A\0\r\0\n\x0A\x61\0\n\0b"sv), ElementsAre("\xE0\xA8\x8A", "\xE0\xA9\xA1", "b"));
  EXPECT_THAT(lines("b\0a\0\r\0\n\0c\0o\0\n\0"sv), ElementsAre("ba", "co")) << "without a mark";
}

TEST_F(TextBytes, GiveALineBeforeTheNextIsThere) {
  std::istringstream in("ba\nco\n");
  TextLines reader(in, "standard input");
  std::string line;
  ASSERT_TRUE(reader.next(line, log_));
  EXPECT_EQ(in.tellg(), 3) << "nothing behind the line was waited for";
}

}  // namespace
}  // namespace virgil
