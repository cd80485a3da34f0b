#include "data/word_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "data/text_cuts.h"
#include "data/vocabulary.h"

namespace virgil {
namespace {

using testing::ElementsAre;

std::vector<std::string> words_of(std::string_view text) {
  static const CharacterClasses classes;
  WordScanner scanner(text, classes);
  std::vector<std::string> words;
  for (std::string_view word = scanner.next(); !word.empty(); word = scanner.next()) words.emplace_back(word);
  return words;
}

TEST(WordScanner, FollowsTheRule) {
  EXPECT_THAT(words_of("I'm he'll, DON'T"), ElementsAre("I", "'m", " he", "'ll", ",", " DON", "'", "T"));
  EXPECT_THAT(words_of("a1 22 !?"), ElementsAre("a", "1", " 22", " !?"));
  EXPECT_THAT(words_of("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(words_of("a\n\nb \n"), ElementsAre("a", "\n", "\n", "b", " \n"));
  EXPECT_THAT(words_of("\tb"), ElementsAre("\t", "b"));
  EXPECT_THAT(words_of(""), ElementsAre());
}

TEST(WordScanner, TakesBytesThatAreNotUtf8AsOthers) {
  EXPECT_THAT(words_of("a\xFF!b"), ElementsAre("a", "\xFF!", "b"));
  EXPECT_THAT(words_of(" \xC3"), ElementsAre(" \xC3"));
}

TEST(WordScanner, AgreesWithTheRegularExpression) {
  for (const auto& entry : test_support::read_golden("gpt2_tokens.json")) {
    if (!entry.contains("words")) continue;
    const std::string text = test_support::from_hex(entry["bytes"]);
    std::vector<std::size_t> lengths;
    for (const std::string& word : words_of(text)) lengths.push_back(word.size());
    EXPECT_EQ(lengths, entry["words"].get<std::vector<std::size_t>>()) << entry["bytes"];
  }
}

// Cutting at any place that is_word_cut allows leaves the words as they are.
TEST(WordCuts, DoNotChangeWords) {
  std::mt19937 random(11);
  const std::string parts[] = {"a", "'", "s", " ", "\n", "1", "!", "\u3000", "\u00A0", "\u00E9", "\xE3\x80", "\xC2", "\xFF"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::size_t i = 0; i < 2 + random() % 12; ++i) text += parts[random() % std::size(parts)];
    const std::vector<std::string> whole = words_of(text);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      if (!is_word_cut(text, cut)) continue;
      std::vector<std::string> pieces = words_of(std::string_view(text).substr(0, cut));
      for (const std::string& word : words_of(std::string_view(text).substr(cut))) pieces.push_back(word);
      EXPECT_EQ(pieces, whole) << cut;
    }
  }
}

TEST(WordCuts, AreFoundFromBothSides) {
  EXPECT_EQ(find_word_cut("ab cd ef", 0), 2U);
  EXPECT_EQ(find_word_cut("ab cd ef", 3), 5U);
  EXPECT_EQ(find_word_cut("ab cd ef", 6), 8U);
  EXPECT_EQ(find_last_word_cut("ab cd ef", 0), 5U);
  EXPECT_EQ(find_last_word_cut("ab cd ef", 6), 0U);
  EXPECT_EQ(find_last_word_cut("", 0), 0U);
}

}  // namespace
}  // namespace virgil
