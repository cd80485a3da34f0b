// Hugging Face's tokenizer.json as untrusted input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/vocabulary.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using nlohmann::json;
using test_support::kTercets;
using testing::AllOf;
using testing::HasSubstr;

json trained() { return json::parse(make_tokenizer("bpe:270", kTercets)->files().front().content); }

std::string load_error(const json& document) {
  return test_support::user_error_of(
      [&] { BytePairTokenizer(read_tokenizer_json(document.dump(), "tokenizer.json"), "tokenizer.json"); });
}

TEST(TokenizerJson, RestoresTheSameMapping) {
  const auto tokenizer = make_tokenizer("bpe:280", kTercets);
  const BytePairTokenizer loaded(read_tokenizer_json(tokenizer->files().front().content, "t"), "t");
  EXPECT_EQ(loaded.fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(loaded.name(), "bpe:280");
  EXPECT_EQ(loaded.end_of_text(), 279);
  EXPECT_EQ(loaded.encode(kTercets), tokenizer->encode(kTercets));
}

TEST(TokenizerJson, ReadsMergesAsPairs) {
  json document = trained();
  for (json& merge : document["model"]["merges"]) {
    const std::string text = merge;
    merge = json::array({text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)});
  }
  const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
  EXPECT_EQ(loaded.fingerprint(), make_tokenizer("bpe:270", kTercets)->fingerprint());
}

TEST(TokenizerJson, NamesTheDefect) {
  const auto error_with = [](const auto& change) {
    json document = trained();
    change(document);
    return load_error(document);
  };
  json document = trained();
  EXPECT_THAT(error_with([](json& d) { d["model"]["type"] = "WordPiece"; }), HasSubstr("WordPiece (BERT's), not BPE"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["dropout"] = 0.1; }), HasSubstr("dropout"));
  EXPECT_THAT(error_with([](json& d) { d["normalizer"] = {{"type", "Lowercase"}}; }), HasSubstr("normalizer is Lowercase"));
  EXPECT_THAT(error_with([](json& d) { d["pre_tokenizer"]["type"] = "Whitespace"; }), HasSubstr("ByteLevel"));
  EXPECT_THAT(error_with([](json& d) { d["model"].erase("vocab"); }), HasSubstr("\"vocab\" is missing"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = 200000; }), HasSubstr("leaves a gap"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = 7; }), HasSubstr("two tokens have the id 7"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = -7; }), HasSubstr("the id -7"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = 1e30; }), HasSubstr("the id"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = "x"; }), HasSubstr("the id"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back("zz q"); }), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back("ab"); }), HasSubstr("not a pair"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back(3); }), HasSubstr("not a pair"));
  EXPECT_THAT(error_with([](json& d) { d["added_tokens"][0]["content"] = "<pad>"; }), HasSubstr("two tokens have the id 269"));
  EXPECT_THAT(error_with([](json& d) { d["added_tokens"][0]["id"] = 5; }), HasSubstr("two ids"));
}

TEST(TokenizerJson, NamesAllObstaclesAtOnce) {
  json document = trained();
  document["model"]["end_of_word_suffix"] = "</w>";
  document["normalizer"] = {{"type", "NFKC"}};
  document["pre_tokenizer"] = {{"type", "Sequence"},
                               {"pretokenizers",
                                {{{"type", "Split"}, {"pattern", {{"Regex", "(a)\\1"}}}, {"behavior", "Isolated"}},
                                 {{"type", "Split"}, {"pattern", {{"Regex", "[[:alpha:]]"}}}, {"behavior", "Isolated"}},
                                 {{"type", "Metaspace"}},
                                 {{"type", "ByteLevel"}}}}};
  EXPECT_THAT(load_error(document), AllOf(HasSubstr("</w>"), HasSubstr("NFKC"), HasSubstr("a back reference"),
                                          HasSubstr("POSIX"), HasSubstr("Metaspace"), HasSubstr("bpe:4096")));
}

TEST(TokenizerJson, RefusesToRepeatAPositionAsOnigurumaDoes) {
  for (const char* pattern : {"x\\b+", "^*x", "x$?", "\\A{2}x", "x\\z*"}) {
    json document = trained();
    document["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}, {{"type", "ByteLevel"}}}}};
    EXPECT_THAT(load_error(document), HasSubstr("a repetition of a position")) << pattern;
  }
}

TEST(TokenizerJson, FindsTheEndOfText) {
  const auto end_with = [](const std::vector<std::string>& names, const EndOfTextHint& hint) {
    json document = trained();
    document["model"]["vocab"].erase("<|endoftext|>");
    document["added_tokens"] = json::array();
    for (std::size_t i = 0; i < names.size(); ++i) {
      document["added_tokens"].push_back({{"content", names[i]}, {"id", 269 + i}, {"special", true}});
    }
    return read_tokenizer_json(document.dump(), "t", hint).end_of_text;
  };
  EXPECT_EQ(end_with({"<s>", "<pad>", "</s>", "<unk>", "<mask>"}, {}), 271);
  EXPECT_EQ(end_with({"<|startoftext|>", "<|endoftext|>"}, {}), 270);
  EXPECT_EQ(end_with({"<a>", "<b>"}, {}), -1) << "which one is not known";
  EXPECT_EQ(end_with({"<a>", "<b>"}, {.token = "<b>"}), 270);
  EXPECT_EQ(end_with({"<a>", "<b>"}, {.token = "", .id = 269}), 269);
  EXPECT_EQ(end_with({"<only>"}, {}), 269);
  EXPECT_EQ(end_with({"</s>", "<b>"}, {.token = "<b>"}), 270) << "what the files say counts";
}

TEST(TokenizerJson, TakesWhatWouldAddTokensOutOfTheCopy) {
  json document = trained();
  document["post_processor"] = {{"type", "TemplateProcessing"}};
  const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
  EXPECT_TRUE(json::parse(loaded.files().front().content)["post_processor"].is_null());
  EXPECT_EQ(json::parse(loaded.files().front().content)["model"], document["model"]);
}

// Settings that people use: the same ids as Hugging Face's `tokenizers` (tests/reference/make_foreign_golden.py).
TEST(TokenizerJson, GivesTheIdsOfOtherSettings) {
  const json golden = test_support::read_golden("foreign_tokenizers.json");
  for (const json& entry : golden["cases"]) {
    json document = golden["base"];
    document.merge_patch(entry["patch"]);
    const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
    for (std::size_t i = 0; i < golden["texts"].size(); ++i) {
      EXPECT_EQ(loaded.encode(golden["texts"][i].get<std::string>()), entry["ids"][i].get<std::vector<std::int32_t>>())
          << entry["name"] << " " << golden["texts"][i];
    }
    const BytePairTokenizer again(read_tokenizer_json(loaded.files().front().content, "t"), "t");
    EXPECT_EQ(again.fingerprint(), loaded.fingerprint()) << entry["name"];
  }
}

// Conversions of tiktoken's vocabularies have a merge for every way to cut a token.
TEST(TokenizerJson, TakesSeveralMergesOfOneToken) {
  json document = trained();
  const BytePairTokenizer before(read_tokenizer_json(document.dump(), "t"), "t");
  document["model"]["merges"].push_back(document["model"]["merges"][0]);  // the later one counts
  document["model"]["merges"].erase(0);
  json& vocab = document["model"]["vocab"];
  vocab["xyz"] = 270;
  vocab["xy"] = 271;
  vocab["yz"] = 272;
  for (const char* merge : {"x yz", "y z", "xy z", "x y"}) document["model"]["merges"].push_back(merge);
  const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
  EXPECT_EQ(loaded.encode("xyz"), std::vector<std::int32_t>{270});
  EXPECT_EQ(loaded.decode(loaded.encode(kTercets)), kTercets);
}

TEST(TokenizerJson, WarnsOfBytesWithoutAnId) {
  json document = trained();
  EXPECT_EQ(BytePairTokenizer(read_tokenizer_json(document.dump(), "t"), "t").caveat(), "");
  document["model"]["vocab"].erase("\u0100");
  const BytePairTokenizer loaded(read_tokenizer_json(document.dump(), "t"), "t");
  EXPECT_THAT(loaded.caveat(), AllOf(HasSubstr("1 of the 256 bytes (0x00)"), HasSubstr("dropped")));
  EXPECT_EQ(loaded.decode(loaded.encode(std::string_view("a\0b", 3))), "ab");
}

// Whatever bytes change: the file loads, or a UserError names what is wrong.
TEST(TokenizerJson, SurvivesAnyDamage) {
  const std::string content = trained().dump();
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = content.substr(0, round % 3 == 0 ? random() % content.size() : content.size());
    for (std::size_t i = 0; i < random() % 6 && !damaged.empty(); ++i) {
      damaged[random() % damaged.size()] = "\"[]{}:,0a9 \xFF"[random() % 12];
    }
    try {
      const BytePairTokenizer loaded(read_tokenizer_json(damaged, "t"), "t");
      EXPECT_FALSE(loaded.decode(loaded.encode(kTercets)).empty());
    } catch (const UserError&) {
    }
  }
}

}  // namespace
}  // namespace virgil
