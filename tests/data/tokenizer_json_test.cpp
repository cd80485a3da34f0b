// Hugging Face's tokenizer.json as untrusted input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "data/byte_pair_tokenizer.h"
#include "data/vocabulary.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using nlohmann::json;
using test_support::kTercets;
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
  EXPECT_THAT(error_with([](json& d) { d["model"]["type"] = "WordPiece"; }), HasSubstr("not of type BPE"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["dropout"] = 0.1; }), HasSubstr("dropout"));
  EXPECT_THAT(error_with([](json& d) { d["normalizer"] = {{"type", "NFC"}}; }), HasSubstr("normalizer"));
  EXPECT_THAT(error_with([](json& d) { d["pre_tokenizer"]["type"] = "Whitespace"; }), HasSubstr("ByteLevel"));
  EXPECT_THAT(error_with([](json& d) { d["pre_tokenizer"]["add_prefix_space"] = true; }), HasSubstr("add_prefix_space"));
  EXPECT_THAT(error_with([](json& d) { d["model"].erase("vocab"); }), HasSubstr("\"vocab\" is missing"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"].erase("a"); }), HasSubstr("gap"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = 7; }), HasSubstr("two tokens have the id 7"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = -7; }), HasSubstr("the id -7"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = 1e30; }), HasSubstr("the id"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["vocab"]["a"] = "x"; }), HasSubstr("the id"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back("zz q"); }), HasSubstr("not in the vocabulary"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back("ab"); }), HasSubstr("not a pair"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back(3); }), HasSubstr("not a pair"));
  EXPECT_THAT(error_with([](json& d) { d["model"]["merges"].push_back(d["model"]["merges"][0]); }),
              HasSubstr("exists already"));
  EXPECT_THAT(error_with([](json& d) { std::reverse(d["model"]["merges"].begin(), d["model"]["merges"].end()); }),
              HasSubstr("no earlier merge makes"));
  EXPECT_THAT(error_with([](json& d) { d["added_tokens"][0]["content"] = "<pad>"; }), HasSubstr("<pad>"));
  EXPECT_THAT(error_with([](json& d) { d["added_tokens"][0]["id"] = 5; }), HasSubstr("id"));
  EXPECT_THAT(error_with([](json& d) { d["added_tokens"].push_back(d["added_tokens"][0]); }), HasSubstr("more than one"));
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
      EXPECT_EQ(loaded.decode(loaded.encode(kTercets)), kTercets);
    } catch (const UserError&) {
    }
  }
}

}  // namespace
}  // namespace virgil
