// What messages repeat of a tokenizer's file is short, whatever the file holds.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/byte_pair_tokenizer.h"
#include "data/virgil_tokenizer_file.h"
#include "data/vocabulary.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 1000;
const std::string kLong(100'000, 'x');

TEST(TokenizerMessages, AreShortForATokenizerJson) {
  const json good = json::parse(make_tokenizer("bpe:270", test_support::kTercets)->files().front().content);
  const auto split = [](const std::string& pattern) {
    return json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const std::vector<std::pair<const char*, std::function<void(json&)>>> changes = {
      {"model", [](json& d) { d["model"]["type"] = kLong; }},
      {"model's type", [](json& d) { d["model"]["type"] = json::array({kLong}); }},
      {"dropout", [](json& d) { d["model"]["dropout"] = kLong; }},
      {"suffix", [](json& d) { d["model"]["end_of_word_suffix"] = kLong; }},
      {"unk_token",
       [](json& d) {
         d["model"]["unk_token"] = kLong;
         d["model"]["vocab"].erase("\u0100");
       }},
      {"normalizer",
       [](json& d) {
         d["normalizer"] = {{"type", kLong}};
       }},
      {"pre_tokenizer",
       [](json& d) {
         d["pre_tokenizer"] = {{"type", kLong}};
       }},
      {"many steps",
       [](json& d) {
         json steps = json::array();
         for (int i = 0; i < 5000; ++i) steps.push_back({{"type", "Step" + std::to_string(i)}});
         d["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
       }},
      {"pattern", [&](json& d) { d["pre_tokenizer"] = split("(" + kLong); }},
      {"pattern without an end", [&](json& d) { d["pre_tokenizer"] = split("(" + kLong.substr(0, 9000)); }},
      {"empty match", [&](json& d) { d["pre_tokenizer"] = split("(?:" + kLong.substr(0, 9000) + ")?"); }},
      {"id", [](json& d) { d["model"]["vocab"][kLong] = kLong; }},
      {"token", [](json& d) { d["model"]["vocab"][kLong + " "] = 270; }},
      {"merge", [](json& d) { d["model"]["merges"].push_back(kLong + " " + kLong); }},
      {"added token",
       [](json& d) {
         d["added_tokens"].push_back({{"id", -1}, {"content", kLong}});
       }},
  };
  for (const auto& [name, change] : changes) {
    json document = good;
    change(document);
    const std::string message = test_support::user_error_of(
        [&] { BytePairTokenizer(read_tokenizer_json(document.dump(), "tokenizer.json"), "tokenizer.json"); });
    EXPECT_FALSE(message.empty()) << name;
    EXPECT_LT(message.size(), kMostBytes) << name;
  }
}

TEST(TokenizerMessages, AreShortForVirgilsOwnFile) {
  const json good = {{"format", "virgil-tokenizer"}, {"version", 1}, {"type", "char"}, {"characters", {"a", "b"}}};
  for (const json& patch : {json{{"format", kLong}}, json{{"version", kLong}}, json{{"version", json::array({kLong})}},
                            json{{"type", kLong}}, json{{"type", {{kLong, kLong}}}}, json{{"characters", {kLong}}},
                            json{{"characters", {json::array({kLong})}}}, json{{"characters", kLong}}}) {
    json document = good;
    document.merge_patch(patch);
    const std::string message =
        test_support::user_error_of([&] { (void)read_virgil_tokenizer_file(document.dump(), "tokenizer.json"); });
    EXPECT_FALSE(message.empty());
    EXPECT_LT(message.size(), kMostBytes);
  }
}

}  // namespace
}  // namespace virgil
