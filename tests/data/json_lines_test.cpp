#include "data/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;

std::string text_of(std::string_view line, const std::string& field = "text") {
  std::string text;
  JsonLines("f.jsonl", field).read_line(line, text);
  return text;
}
std::string error_of(std::string_view line, const std::string& field = "text") {
  return user_error_of([&] { static_cast<void>(text_of(line, field)); });
}

TEST(JsonLines, GivesTheTextOfAField) {
  EXPECT_EQ(text_of(R"({"text": "selva"})"), "selva");
  EXPECT_EQ(text_of(R"({"meta": {"text": "no", "n": [1, {"text": "no"}]}, "text": "a\nb\u00e8\ud83d\ude00", "z": null})"),
            "a\nb\u00e8\U0001F600");
  EXPECT_EQ(text_of(R"({"content": "x", "text": "y"})", "content"), "x");
  EXPECT_EQ(text_of(R"({"text": null})"), "");
  EXPECT_EQ(text_of(R"({"text": ""})"), "");
}

TEST(JsonLines, NamesTheLineAndTheFieldsThereAre) {
  JsonLines lines("f.jsonl", "text");
  std::string text;
  lines.read_line(R"({"text": "a"})", text);
  lines.skip_line();
  EXPECT_THAT(user_error_of([&] { lines.read_line(R"({"title": "a", "content": "b"})", text); }),
              AllOf(HasSubstr("f.jsonl: line 3"), HasSubstr("title, content"), HasSubstr("--text_field")));
  EXPECT_THAT(error_of(R"({"text": 7})"), HasSubstr("a number"));
  EXPECT_THAT(error_of(R"({"text": ["a"]})"), HasSubstr("a list"));
  EXPECT_THAT(error_of(R"({"text": "a")"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(R"(["text"])"), HasSubstr("not a JSON object"));
  EXPECT_THAT(error_of("{}"), HasSubstr("none at all"));
}

TEST(JsonLines, BearsAnyDepthAndLength) {
  const std::string deep(100000, '[');
  EXPECT_THAT(error_of(R"({"meta": )" + deep), HasSubstr("nested too deeply"));
  EXPECT_LT(error_of(R"({")" + std::string(100000, 'x') + R"(": 1})").size(), 1000U);
  EXPECT_LT(error_of(R"({"text": ")" + std::string(100000, 'x')).size(), 1000U);
}

TEST(JsonLines, ReplacesWhatTextsCannotHold) {
  JsonLines lines("f.jsonl", "text");
  std::string text;
  lines.read_line("{\"text\": \"a\\ud83d b\\ude00 \\\\ud83d \xFF\"}", text);
  EXPECT_EQ(text, "a\uFFFD b\uFFFD \\ud83d \uFFFD");
  EXPECT_EQ(lines.num_replaced(), 3);
}

TEST(JsonLines, AreRecognisedByTheirContent) {
  EXPECT_TRUE(looks_like_json_lines("{\"text\": \"a\"}\n{\"text\": \"b\"}\n"));
  EXPECT_TRUE(looks_like_json_lines("\n\n {\"a\": 1}"));
  EXPECT_TRUE(looks_like_json_lines("{\"text\": \"a\"}\n{\"text\": broken\n"));  // to be named by its line
  EXPECT_TRUE(looks_like_json_lines("{\"text\": \"" + std::string(2 << 20, 'x')));
  EXPECT_FALSE(looks_like_json_lines("{\n  \"a\": 1\n}\n"));
  EXPECT_FALSE(looks_like_json_lines("{braces} in prose\nand more\n"));
  EXPECT_FALSE(looks_like_json_lines("{\"a\": 1}\nprose\nprose\nprose\n"));
  EXPECT_FALSE(looks_like_json_lines("[{\"a\": 1}]"));
  EXPECT_FALSE(looks_like_json_lines("prose"));
  EXPECT_FALSE(looks_like_json_lines(""));
  EXPECT_TRUE(looks_like_json_object("{\n  \"a\": 1\n}\n"));
  EXPECT_TRUE(looks_like_json_array("[\n {\"text\": \"a\"},"));
  EXPECT_FALSE(looks_like_json_array("[1, 2]"));
  EXPECT_FALSE(looks_like_json_array("[stage direction] {"));
}

}  // namespace
}  // namespace virgil
