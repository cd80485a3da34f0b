#include "data/char_tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "virgil/base/error.h"

namespace virgil {
namespace {

CharTokenizer from_text(std::string_view text) {
  CharacterSet characters;
  characters.add(text);
  return CharTokenizer(characters.code_points());
}

TEST(CharTokenizer, NumbersCharactersInCodePointOrder) {
  const CharTokenizer tokenizer = from_text("baéa\n");
  EXPECT_EQ(tokenizer.vocab_size(), 4 + 32);
  EXPECT_EQ(tokenizer.encode("\nabé"), (std::vector<std::int32_t>{0, 1, 2, 3}));
}

TEST(CharTokenizer, SpellsUnknownCharactersByHalfBytes) {
  const CharTokenizer tokenizer = from_text("ab");
  EXPECT_EQ(tokenizer.encode("a\xC3\xA9"), (std::vector<std::int32_t>{0, 2 + 0xC, 18 + 0x3, 2 + 0xA, 18 + 0x9}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\xC3\xA9")), "a\xC3\xA9");
}

TEST(CharTokenizer, GivesBackRandomBytes) {
  const CharTokenizer tokenizer = from_text("the é ü 漢 \xF0\x9F\x98\x80 text");
  std::mt19937 random(7);
  const std::string alphabet = "et\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80\xFF\x80";
  for (int round = 0; round < 200; ++round) {
    std::string text(random() % 300, '\0');
    const bool narrow = round % 2 == 0;
    for (char& c : text) c = narrow ? alphabet[random() % alphabet.size()] : static_cast<char>(random());
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(CharTokenizer, GivesBackLongTextsEncodedInParallel) {
  const CharTokenizer tokenizer = from_text("abé漢");
  std::string text;
  std::mt19937 random(8);
  const std::string pieces[] = {"a", "b", "é", "漢", "x", "\x80"};
  while (text.size() < (1U << 20)) text += pieces[random() % 6];
  const std::vector<std::int32_t> tokens = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(tokens), text);
  EXPECT_EQ(tokenizer.encode(text), tokens);
}

TEST(CharTokenizer, DecodesStrayHalfBytesAsReplacementCharacters) {
  const CharTokenizer tokenizer = from_text("a");
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{1, 0}), "\uFFFDa");
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{17, 0}), "\uFFFDa");
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{0, 1}), "a");
}

TEST(CharTokenizer, RefusesIdsOutsideTheVocabulary) {
  const CharTokenizer tokenizer = from_text("a");
  EXPECT_THROW((void)tokenizer.decode(std::vector<std::int32_t>{33}), UserError);
  EXPECT_THROW((void)tokenizer.decode(std::vector<std::int32_t>{-1}), UserError);
}

TEST(CharTokenizer, RefusesAnEmptyTrainingText) { EXPECT_THROW((void)from_text(""), UserError); }

TEST(CharTokenizer, HasAFingerprintPerMapping) {
  EXPECT_EQ(from_text("ab").fingerprint(), from_text("bbaa").fingerprint());
  EXPECT_NE(from_text("ab").fingerprint(), from_text("abc").fingerprint());
  EXPECT_NE(CharTokenizer({'a', 'b'}).fingerprint(), CharTokenizer({'b', 'a'}).fingerprint());
}

}  // namespace
}  // namespace virgil
