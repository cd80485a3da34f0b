#include "data/byte_pair_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>

#include "data/vocabulary.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::kTercets;

TEST(Gpt2Tokenizer, GivesTheIdsOfTiktoken) {
  VIRGIL_GPT2_OR_SKIP(gpt2);
  for (const auto& entry : test_support::read_golden("gpt2_tokens.json")) {
    const std::string text = test_support::from_hex(entry["bytes"]);
    EXPECT_EQ(gpt2->encode(text), entry["ids"].get<std::vector<std::int32_t>>()) << entry["bytes"];
    EXPECT_EQ(gpt2->decode(gpt2->encode(text)), text);
  }
}

TEST(Gpt2Tokenizer, KnowsItsSizeAndName) {
  VIRGIL_GPT2_OR_SKIP(gpt2);
  EXPECT_EQ(gpt2->vocab_size(), 50257);
  EXPECT_EQ(gpt2->end_of_text(), 50256);
  EXPECT_EQ(gpt2->name(), "gpt2");
  EXPECT_EQ(gpt2->decode(std::vector<std::int32_t>{15496, 995, 50256}), "Hello world<|endoftext|>");
}

TEST(Gpt2Tokenizer, ComesBackFromItsFiles) {
  VIRGIL_GPT2_OR_SKIP(gpt2);
  const test_support::TemporaryDirectory directory;
  for (const auto& file : gpt2->files()) test_support::write_all(directory.path() / file.name, file.content);
  const auto loaded = load_tokenizer(directory.path());
  EXPECT_EQ(loaded->name(), "gpt2");
  EXPECT_EQ(loaded->fingerprint(), gpt2->fingerprint());
  EXPECT_EQ(loaded->encode(kTercets), gpt2->encode(kTercets));
}

TEST(BytePairTokenizer, GivesBackRandomBytes) {
  const auto tokenizer = make_tokenizer("bpe:280", kTercets);
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string text(random() % 200, '\0');
    for (char& c : text) c = round % 2 == 0 ? static_cast<char>(random()) : kTercets[random() % kTercets.size()];
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

// Long texts are cut for the threads; the ids must be those of one piece, whatever the cuts.
TEST(BytePairTokenizer, GivesTheSameIdsInPieces) {
  const auto tokenizer = make_tokenizer("bpe:280", kTercets);
  std::string text;
  while (text.size() < 400000) text += kTercets;
  std::vector<std::int32_t> expected;
  const std::vector<std::int32_t> once = tokenizer->encode(kTercets);  // ends in one line break, as no other word does
  while (expected.size() < once.size() * (text.size() / kTercets.size())) {
    expected.insert(expected.end(), once.begin(), once.end());
  }
  EXPECT_EQ(tokenizer->encode(text), expected);
}

// Short and long words take different ways to the same merges: both are checked against merging by the definition.
TEST(BytePairTokenizer, MergesLongWordsAsTheDefinitionSays) {
  MergeTable table(20);
  std::vector<std::pair<Symbol, Symbol>> merges{{'a', 'b'}, {'a', 'a'}, {256, 256}, {257, 'b'}, {258, 257}, {'b', 'a'}};
  for (const auto& [left, right] : merges) ASSERT_NE(table.add(left, right), MergeTable::kNone);
  EXPECT_EQ(table.add('a', 'b'), MergeTable::kNone);
  const auto by_definition = [&](const std::string& word) {
    std::vector<Symbol> symbols(word.begin(), word.end());
    for (std::size_t number = 0; number < merges.size();) {
      const auto at = std::search(symbols.begin(), symbols.end(), &merges[number].first, &merges[number].first + 2);
      if (at == symbols.end()) {
        ++number;
        continue;
      }
      *at = static_cast<Symbol>(256 + number);
      symbols.erase(at + 1);
      number = 0;
    }
    return symbols;
  };
  WordMerger merger(table);
  std::mt19937 random(9);
  std::vector<Symbol> symbols;
  for (int round = 0; round < 500; ++round) {
    std::string word(1 + random() % 120, '\0');
    for (char& c : word) c = "aab"[random() % 3];
    merger.merge(word, symbols);
    EXPECT_EQ(symbols, by_definition(word)) << word;
  }
}

TEST(BytePairTokenizer, EncodesAVeryLongWordInTime) {
  const auto tokenizer = make_tokenizer("bpe:280", kTercets);
  const std::string word(1 << 20, 'a');
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(word)), word);
}

TEST(BytePairTokenizer, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = make_tokenizer("bpe:280", kTercets);
  EXPECT_THROW((void)tokenizer->decode(std::vector<std::int32_t>{280}), UserError);
  EXPECT_THROW((void)tokenizer->decode(std::vector<std::int32_t>{-1}), UserError);
}

}  // namespace
}  // namespace virgil
