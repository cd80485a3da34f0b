#include "virgil/base/json.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "support/user_error.h"
#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string json_error(std::string_view text) {
  return user_error_of([&] { (void)parse_json(text, "a.json"); });
}

TEST(ParseJson, KeepsTypesAndOrder) {
  const std::string text = R"({"z":1,"a":[true,null,-2,0.5,"é"],"m":{"y":18446744073709551615,"b":{}}})";
  EXPECT_EQ(parse_json(text, "a.json").dump(), text);
  EXPECT_EQ(parse_json("3", "a.json"), 3);
  EXPECT_EQ(parse_json("\xef\xbb\xbf{\"a\": 1}", "a.json").dump(), "{\"a\":1}") << "a byte order mark is passed over";
}

TEST(ParseJson, TellsThePlaceWithoutTheLibrarysWords) {
  const std::string error = json_error("{\n  \"a\": 1,\n}");
  EXPECT_THAT(error, AllOf(HasSubstr("a.json: not valid JSON: line 3, column 1"), Not(HasSubstr("json.exception"))));
  EXPECT_THAT(json_error(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(json_error("{} {}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(json_error("\"\xff\""), HasSubstr("not valid JSON"));
  EXPECT_THAT(json_error("\"\\ud800\""), HasSubstr("not valid JSON"));
  EXPECT_THAT(json_error("[1e999]"), AllOf(HasSubstr("a.json: not valid JSON"), HasSubstr("1e999")));
  EXPECT_LT(json_error(std::string(1000000, 'x')).size(), 500U);
  EXPECT_LT(json_error("[1e999" + std::string(1000000, '9')).size(), 500U);
}

TEST(ParseJson, TellsAnotherKindOfFile) {
  EXPECT_THAT(json_error("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
              HasSubstr("a.json: is a Git LFS pointer"));
  EXPECT_THAT(json_error("<html>"), HasSubstr("a web page"));
}

TEST(ParseJson, RefusesDuplicateKeys) {
  EXPECT_THAT(json_error(R"({"a": 1, "b": {"c": 1, "c": 2}})"), HasSubstr("\"c\" is given twice"));
  EXPECT_THAT(json_error(R"({"a": 1, "\u0061": 2})"), HasSubstr("\"a\" is given twice"));
  EXPECT_NO_THROW((void)parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]})", "a.json"));
}

TEST(ParseJson, RefusesDeepNesting) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_NO_THROW((void)parse_json(nested(kMaxJsonDepth), "a.json"));
  EXPECT_THAT(json_error(nested(kMaxJsonDepth + 1)), HasSubstr("a.json: nested deeper than 64 levels"));
  EXPECT_THAT(json_error(nested(200000)), HasSubstr("nested deeper"));
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_THAT(json_error(objects), HasSubstr("nested deeper"));
}

// With time in proportion to the square of the keys this takes minutes, and the test program's limit ends it.
TEST(ParseJson, ReadsHundredsOfThousandsOfKeys) {
  std::string text = "{";
  for (int i = 0; i < 300000; ++i) text += fmt::format("{}\"{}\":{}", i == 0 ? "" : ",", i, i);
  const nlohmann::ordered_json parsed = parse_json(text + "}", "a.json");
  EXPECT_EQ(parsed.size(), 300000U);
  EXPECT_THAT(json_error(text + ",\"7\":0}"), HasSubstr("\"7\" is given twice"));
}

// Mutates a good document: it is refused in words, or what was read is written and read again the same.
TEST(ParseJson, SurvivesMutations) {
  const std::string text = R"({"a": [1, -2.5e3, true, null, "x\n\u00e9"], "b": {"c": {"d": []}}, "e": "f"})";
  const std::string alphabet = "0123456789{}[]:,\"-+.eEnulltrue \\u\xff\xc3";
  std::mt19937 random(20260103);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  int num_accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string mutant = text;
    for (std::size_t n = 1 + below(3); n > 0; --n) {
      const std::size_t position = below(mutant.size());
      if (below(3) == 0) {
        mutant.insert(position, mutant.substr(below(mutant.size()), 1 + below(20)));
      } else {
        mutant[position] = alphabet[below(alphabet.size())];
      }
    }
    try {
      const nlohmann::ordered_json parsed = parse_json(mutant, "a.json");
      ASSERT_EQ(parse_json(parsed.dump(), "a.json"), parsed) << mutant;
      ++num_accepted;
    } catch (const UserError& error) {
      ASSERT_TRUE(std::string_view(error.what()).starts_with("a.json: ")) << error.what();
    }
  }
  EXPECT_GT(num_accepted, 100);
}

TEST(JsonObject, ChecksPresenceAndTypes) {
  const nlohmann::ordered_json json = parse_json(
      R"({"i": 3, "u": 18446744073709551615, "d": 0.5, "s": "x", "b": true, "n": null, "l": ["a"], "o": {"k": -1}})", "a.json");
  const JsonObject object(json, "a.json");
  EXPECT_EQ(object.integer("i"), 3);
  EXPECT_EQ(object.unsigned_integer("u"), UINT64_MAX);
  EXPECT_EQ(object.number("d"), 0.5);
  EXPECT_EQ(object.number("i"), 3);
  EXPECT_EQ(object.string("s"), "x");
  EXPECT_TRUE(object.boolean("b"));
  EXPECT_EQ(object.object("o").integer("k"), -1);
  EXPECT_EQ(object.strings("l"), std::vector<std::string>{"a"});
  EXPECT_EQ(object.strings_or_none("l"), std::vector<std::string>{"a"});
  EXPECT_EQ(object.strings_or_none("n"), std::vector<std::string>());
  EXPECT_TRUE(object.contains("n") && !object.has("n") && !object.contains("x"));
  EXPECT_EQ(object.integer_or("n", 7), 7);
  EXPECT_EQ(object.string_or("x", "y"), "y");
  const auto error_of = [&](auto&& access) { return user_error_of([&] { (void)access(); }); };
  EXPECT_THAT(error_of([&] { return object.integer("u"); }), HasSubstr("must be a whole number"));
  EXPECT_THAT(error_of([&] { return object.integer("d"); }), HasSubstr("a.json: \"d\" is 0.5, but must be a whole number"));
  EXPECT_THAT(error_of([&] { return object.integer("x"); }), HasSubstr("a.json: \"x\" is missing"));
  EXPECT_THAT(error_of([&] { return object.at("n"); }), HasSubstr("\"n\" is missing"));
  EXPECT_THAT(error_of([&] { return object.unsigned_integer("d"); }), HasSubstr("at least 0"));
  EXPECT_THAT(error_of([&] { return object.boolean("i"); }), HasSubstr("\"i\" is 3, but must be true or false"));
  EXPECT_THAT(error_of([&] { return object.string("l"); }), HasSubstr("\"l\" is a list, but must be a string"));
  EXPECT_THAT(error_of([&] { return object.object("o").string("k"); }), HasSubstr("a.json: \"o\": \"k\" is -1"));
  EXPECT_THAT(error_of([&] { return object.strings_or_none("o"); }), HasSubstr("is an object, but must be a list of strings"));
  EXPECT_THAT(error_of([&] { return object.strings("x"); }), HasSubstr("a.json: \"x\" is missing"));
}

TEST(JsonObject, ViewsSortedDocumentsToo) {
  const nlohmann::json json = parse_sorted_json(R"({"b": 1, "a": {"k": "x"}})", "a.json");
  const SortedJsonObject object(json, "a.json");
  EXPECT_EQ(object.object("a").string("k"), "x");
  EXPECT_THAT(user_error_of([&] { (void)object.at("c"); }), HasSubstr("a.json: \"c\" is missing"));
  EXPECT_THAT(user_error_of([&] { SortedJsonObject(json["b"], "b"); }), HasSubstr("b: is 1, but must be a JSON object"));
}

TEST(Excerpt, CutsAtCharacters) {
  EXPECT_EQ(excerpt("abc", 3), "abc");
  EXPECT_EQ(excerpt("abcd", 3), "abc...");
  EXPECT_EQ(excerpt("a\xc3\xa9z", 2), "a...");
  EXPECT_EQ(quoted_excerpt("a\n\x1b\xff"), "\"a\\n\\u001b\xef\xbf\xbd\"");
}

TEST(BoundedMessage, ShortensLongLinesInTheirMiddle) {
  const std::string usual = "a: b is c\n" + std::string(1200, 'x') + "\n";
  EXPECT_EQ(bounded_message(usual), usual);
  const std::string bounded = bounded_message("a: " + std::string(50000, 'p') + " is wrong; mend it\nnext");
  EXPECT_THAT(bounded, AllOf(HasSubstr("a: ppp"), HasSubstr("bytes ...]"), HasSubstr("is wrong; mend it\nnext")));
  EXPECT_LT(bounded.size(), 1000U);
}

TEST(JsonFigures, AreReadAsTheyWereWritten) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double figure : {0.0, -1.5, 0.1, 1e300, kInfinity, -kInfinity}) {
    EXPECT_EQ(figure_of_json(json_of_figure(figure)), figure);
  }
  EXPECT_TRUE(std::isnan(figure_of_json(json_of_figure(std::numeric_limits<double>::quiet_NaN())).value()));
  EXPECT_EQ(json_of_figure(kInfinity).dump(), "\"inf\"");
  EXPECT_EQ(figure_of_json(7), 7.0);
  for (const char* other : {"\"1\"", "\"NaN\"", "null", "true", "[1]"}) {
    EXPECT_FALSE(figure_of_json(nlohmann::ordered_json::parse(other)).has_value()) << other;
  }
}

}  // namespace
}  // namespace virgil
