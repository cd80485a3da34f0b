#include "format/shard_index.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string index_error(const std::string& text) {
  const std::string message = user_error_of([&] { (void)parse_shard_index(text, "index.json"); });
  EXPECT_THAT(message, HasSubstr("index.json: "));
  return message;
}

std::string map_of(const std::string& file) { return R"({"weight_map": {"a": ")" + file + "\"}}"; }

TEST(ShardIndex, ReadsTheMapAndPassesOverTheRest) {
  const std::string text = R"({"metadata": {"total_size": 1.5e9, "list": [1, {"x": null}], "note": "y", "on": true, "n": -1},
    "weight_map": {"b": "model-2.safetensors", "a": "model-1.safetensors"}, "more": {"weight_map": {"c": 3}}})";
  EXPECT_THAT(parse_shard_index(text, "index.json"),
              ElementsAre(Pair("a", "model-1.safetensors"), Pair("b", "model-2.safetensors")));
  EXPECT_TRUE(parse_shard_index(R"({"weight_map": {}})", "index.json").empty());
}

TEST(ShardIndex, RefusesFilesOutsideTheFolder) {
  for (const char* file :
       {"/etc/model.safetensors", "../model.safetensors", "a/model.safetensors", "..", ".", "", ".hidden.safetensors",
        "a\\\\model.safetensors", "a\\u0000.safetensors", "model.bin", "safetensors"}) {
    EXPECT_THAT(index_error(map_of(file)), AllOf(HasSubstr("\"a\""), HasSubstr("not the name"))) << file;
  }
}

TEST(ShardIndex, RefusesDuplicatesAndOtherShapes) {
  EXPECT_THAT(index_error(R"({"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}})"),
              HasSubstr("\"a\" is given twice"));
  EXPECT_THAT(index_error(R"({"weight_map": {}, "weight_map": {}})"), HasSubstr("given twice"));
  EXPECT_THAT(index_error(R"({"metadata": {}})"), HasSubstr("\"weight_map\" is missing"));
  for (const char* value : {"3", "null", "true", "[]", "\"x.safetensors\"", "-1", "1.5"}) {
    EXPECT_THAT(index_error(fmt::format(R"({{"weight_map": {}}})", value)), HasSubstr("\"weight_map\"")) << value;
  }
  for (const char* value : {"3", "null", "true", "[]", "{}", "-1", "1.5"}) {
    EXPECT_THAT(index_error(fmt::format(R"({{"weight_map": {{"a": {}}}}})", value)), HasSubstr("where a file's name belongs"));
  }
  for (const char* text : {"", "[]", "3", "\"a\"", "null", "{", "{} {}", "{\"\xff\": 1}"}) (void)index_error(text);
  EXPECT_THAT(index_error("{\"metadata\": " + std::string(100000, '[')), HasSubstr("nested deeper"));
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "{\"a\":";
  EXPECT_THAT(index_error(nested), HasSubstr("nested deeper"));
}

// Mutates a good index: it is refused with a UserError, or names files of the folder only.
TEST(ShardIndex, SurvivesMutations) {
  const std::string text = R"({"metadata": {"total_size": 18240}, "weight_map": {"wte.weight": "model-1.safetensors",)"
                           R"( "h.0.ln_1.weight": "model-2.safetensors", "b": "model-2.safetensors"}})";
  const std::string alphabet = "0123456789{}[]:,\"-./\\ue \xff";
  std::mt19937 random(20260102);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  int num_accepted = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string mutant = text;
    for (std::size_t n = 1 + below(3); n > 0 && !mutant.empty(); --n) {
      const std::size_t position = below(mutant.size());
      if (below(4) == 0) {
        mutant.erase(position, 1 + below(12));
      } else if (below(3) == 0) {
        mutant.insert(position, mutant.substr(below(mutant.size()), 1 + below(30)));
      } else {
        mutant[position] = alphabet[below(alphabet.size())];
      }
    }
    try {
      for (const auto& [tensor, file] : parse_shard_index(mutant, "index.json")) {
        ASSERT_TRUE(file.ends_with(".safetensors") && file.find('/') == file.npos && !file.starts_with('.')) << file;
      }
      ++num_accepted;
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(num_accepted, 0);
}

}  // namespace
}  // namespace virgil
