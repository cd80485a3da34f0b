#include "virgil/data/text_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "data/gzip_bytes.h"
#include "support/temporary_directory.h"
#include "virgil/base/error.h"

namespace virgil {
namespace {

using test_support::TemporaryDirectory;

using namespace std::string_literals;
using testing::HasSubstr;

std::string read_bytes(const std::string& bytes, RecordingLogger& log, TextOptions options = {}) {
  const TemporaryDirectory directory;
  test_support::write_all(directory.path() / "text.txt", bytes);
  return read_text(directory.path() / "text.txt", log, options).bytes;
}
std::string read_bytes(const std::string& bytes) {
  RecordingLogger log;
  return read_bytes(bytes, log);
}
std::string reading_error(const std::string& bytes) {
  try {
    (void)read_bytes(bytes);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

std::string utf16(std::u16string_view text, bool little) {
  std::string bytes;
  for (const char16_t unit : text) {
    const char low = static_cast<char>(unit & 0xFF);
    const char high = static_cast<char>(unit >> 8);
    bytes += little ? std::string{low, high} : std::string{high, low};
  }
  return bytes;
}

TEST(TextReader, RemovesAByteOrderMarkAndSaysSo) {
  RecordingLogger log;
  EXPECT_EQ(read_bytes("\xEF\xBB\xBFNel mezzo", log), "Nel mezzo");
  EXPECT_THAT(log.lines(), testing::ElementsAre(HasSubstr("byte order mark")));
}

TEST(TextReader, TurnsCrlfIntoLfAndSaysSo) {
  RecordingLogger log;
  EXPECT_EQ(read_bytes("a\r\nb\r\n\r\rc\r", log), "a\nb\n\r\rc\r");
  EXPECT_THAT(log.lines(), testing::ElementsAre(HasSubstr("2 line endings from CRLF to LF")));
}

TEST(TextReader, SaysNothingOfPlainText) {
  RecordingLogger log;
  EXPECT_EQ(read_bytes("plain é\n", log), "plain é\n");
  EXPECT_TRUE(log.lines().empty());
}

TEST(TextReader, ConvertsUtf16WithAndWithoutMark) {
  const std::u16string text = u"Nel mezzo del cammin \u00E9 \U0001F600\r\nselva";
  for (const bool little : {true, false}) {
    for (const bool mark : {true, false}) {
      RecordingLogger log;
      const std::string bytes = utf16((mark ? u"\uFEFF" : u"") + text, little);
      EXPECT_EQ(read_bytes(bytes, log), "Nel mezzo del cammin é \xF0\x9F\x98\x80\nselva");
      EXPECT_THAT(log.lines().at(0), HasSubstr(little ? "UTF-16 (little" : "UTF-16 (big"));
    }
  }
}

TEST(TextReader, ReplacesLoneSurrogatesAndALoneByte) {
  RecordingLogger log;
  EXPECT_EQ(read_bytes(utf16(u"\uFEFFa\xD800z\xDC00", true) + "x", log), "a\uFFFDz\uFFFD\uFFFD");
  EXPECT_THAT(log.lines().at(1), HasSubstr("3 lone surrogates, the first at offset 4"));
}

TEST(TextReader, KeepsInvalidUtf8AndReportsOffsetAndCount) {
  RecordingLogger log;
  const std::string bytes = "0123456789 \xE9t\xE9 \xC3\xA9 \xED\xA0\x80 \xC3";
  EXPECT_EQ(read_bytes(bytes, log), bytes);
  EXPECT_THAT(log.lines(), testing::ElementsAre(HasSubstr("6 bytes are not valid UTF-8, the first at offset 11")));
}

TEST(TextReader, RefusesNulUnlessForced) {
  EXPECT_THAT(reading_error("ab\0c"s), HasSubstr("NUL byte at offset 2"));
  EXPECT_THAT(reading_error("ab\0c"s), HasSubstr("--force"));
  RecordingLogger log;
  EXPECT_EQ(read_bytes("ab\0c"s, log, {.allow_nul = true}), "ab\0c"s);
}

TEST(TextReader, NamesWhatIsWrongWithAFile) {
  EXPECT_THAT(reading_error(""), HasSubstr("empty"));
  EXPECT_THAT(reading_error("\xEF\xBB\xBF"), HasSubstr("nothing else"));
  EXPECT_THAT(reading_error("\xFF\xFE\0\0a\0\0\0"s), HasSubstr("UTF-32"));
  const TemporaryDirectory directory;
  RecordingLogger log;
  EXPECT_THROW((void)read_text(directory.path() / "absent.txt", log), UserError);
  EXPECT_THROW((void)read_text(directory.path(), log), UserError);
}

TEST(TextReader, UnpacksWhatGzipHasCompressed) {
  using test_support::gzip_first_line;
  using test_support::gzip_second_line;
  RecordingLogger log;
  EXPECT_EQ(read_bytes(gzip_first_line(), log), "Nel mezzo del cammin di nostra vita\n");
  EXPECT_THAT(log.lines(), testing::ElementsAre(HasSubstr("unpacked with gzip")));
  const std::string both = gzip_first_line() + gzip_second_line();
  EXPECT_EQ(read_bytes(both), "Nel mezzo del cammin di nostra vita\nmi ritrovai per una selva oscura\n");
  EXPECT_EQ(read_bytes(both + std::string(512, '\0')), read_bytes(both));
}

TEST(TextReader, NamesWhatIsWrongWithACompressedText) {
  const std::string whole = test_support::gzip_first_line();
  for (std::size_t size = 3; size < whole.size(); ++size) {
    EXPECT_THAT(reading_error(whole.substr(0, size)), HasSubstr("damaged: it ends in the middle")) << size;
  }
  std::string changed = whole;
  changed[20] = static_cast<char>(changed[20] ^ 1);
  EXPECT_THAT(reading_error(changed), HasSubstr("gzip -t"));
  EXPECT_THAT(reading_error(whole + "more"), HasSubstr("follows its end"));
  EXPECT_THAT(reading_error(test_support::gzip_nothing()), HasSubstr("empty"));
}

TEST(TextReader, NamesTheFormatOfWhatIsNoText) {
  EXPECT_THAT(reading_error("%PDF-1.7\n1 0 obj\n"), HasSubstr("pdftotext"));
  EXPECT_THAT(reading_error("PAR1\x15\0\x15\0"s), HasSubstr("Parquet"));
  EXPECT_THAT(reading_error("PK\x03\x04\x14\0"s), HasSubstr("unzip"));
}

TEST(TextReader, WarnsOfPagesAndTables) {
  RecordingLogger log;
  (void)read_bytes("<!DOCTYPE html>\n<html><body>selva</body></html>\n", log);
  (void)read_bytes("id,text\n1,a\n2,b\n3,c\n4,d\n", log);
  EXPECT_THAT(log.lines(),
              testing::ElementsAre(HasSubstr("begins as a web page"), HasSubstr("looks like a table of 2 columns")));
}

// Whatever the size of the pieces, together they are the text that is read at once.
TEST(TextReader, GivesTheSameTextInPiecesOfAnySize) {
  std::mt19937 random(3);
  const std::string parts[] = {"a", " ", "\r\n", "\r", "\n", "é", "漢", "\xF0\x9F\x98\x80", "\xE3\x80\x80", "\xFF", "\xC3"};
  std::string text;
  for (int i = 0; i < 400; ++i) text += parts[random() % std::size(parts)];
  const TemporaryDirectory directory;
  const auto path = directory.path() / "t.txt";
  test_support::write_all(path, "\xEF\xBB\xBF" + text);
  TextReader whole(path);
  std::string expected;
  ASSERT_TRUE(whole.next(expected));
  std::string end;
  EXPECT_FALSE(whole.next(end));
  for (const int chunk_bytes : {8, 9, 11, 16, 61, 300}) {
    TextReader reader(path, {}, chunk_bytes);
    std::string joined;
    std::string chunk;
    while (reader.next(chunk)) joined += chunk;
    EXPECT_EQ(joined, expected) << chunk_bytes;
    EXPECT_EQ(reader.report().num_crlf, whole.report().num_crlf);
    EXPECT_EQ(reader.report().num_invalid, whole.report().num_invalid);
    EXPECT_EQ(reader.report().first_invalid_offset, whole.report().first_invalid_offset);
  }
}

}  // namespace
}  // namespace virgil
