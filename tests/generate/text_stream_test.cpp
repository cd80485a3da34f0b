#include "virgil/generate/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "support/user_error.h"
#include "virgil/base/philox.h"

namespace virgil {
namespace {

using testing::ElementsAre;

std::unique_ptr<Tokenizer> byte_tokenizer() { return make_tokenizer("byte", ""); }

/// The pieces that pushing the tokens of `text` gives, the finish last.
std::vector<std::string> pieces(const Tokenizer& tokenizer, std::string_view text, std::vector<std::string> stops = {}) {
  TextStream stream(tokenizer, std::move(stops));
  std::vector<std::string> result;
  for (const std::int32_t token : tokenizer.encode(text)) result.push_back(stream.push(token));
  result.push_back(stream.finish());
  return result;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

TEST(TextStream, GivesAsciiAtOnce) { EXPECT_THAT(pieces(*byte_tokenizer(), "abc"), ElementsAre("a", "b", "c", "")); }

TEST(TextStream, HoldsACharacterBackUntilItIsWhole) {
  EXPECT_THAT(pieces(*byte_tokenizer(), "è€😀!"), ElementsAre("", "è", "", "", "€", "", "", "", "😀", "!", ""));
}

TEST(TextStream, ReplacesBytesThatBelongToNoCharacter) {
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "a\xFFz")), "a\uFFFDz");
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "a\x80\xC3z")), "a\uFFFD\uFFFDz");
}

TEST(TextStream, ReplacesACharacterThatIsNeverCompleted) {
  EXPECT_THAT(pieces(*byte_tokenizer(), "a\xC3"), ElementsAre("a", "", "\uFFFD"));
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "\xF0\x9F\x98")), "\uFFFD\uFFFD\uFFFD");
}

TEST(TextStream, JoinsTheHalfBytesOfTheCharTokenizer) {
  const auto tokenizer = make_tokenizer("char", "ab");  // everything else is spelt in half bytes
  EXPECT_EQ(joined(pieces(*tokenizer, "aèb€")), "aèb€");
  TextStream stream(*tokenizer, {});
  std::string text;
  for (const std::int32_t token : tokenizer->encode("aè")) text += stream.push(token);
  EXPECT_EQ(text, "aè") << "shown with its last token, not later";
}

TEST(TextStream, GivesTheSameTextAsDecodingAllAtOnce) {
  const auto tokenizer = make_tokenizer("char", "abc è");
  const RandomStream random{5, RandomPurpose::kSampling, 0, 0};
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    std::vector<std::int32_t> tokens;
    TextStream stream(*tokenizer, {});
    std::string text;
    for (std::uint64_t i = 0; i < 12; ++i) {
      const auto id = random_below(random, trial * 12 + i, static_cast<std::uint64_t>(tokenizer->vocab_size()));
      tokens.push_back(static_cast<std::int32_t>(id));
      text += stream.push(tokens.back());
      ASSERT_EQ(to_valid_utf8(text), text) << "a stream is valid at every moment";
    }
    EXPECT_EQ(text + stream.finish(), to_valid_utf8(tokenizer->decode(tokens)));
  }
}

TEST(TextStream, EndsBeforeTheStopText) {
  const auto tokenizer = byte_tokenizer();
  TextStream stream(*tokenizer, {"END"});
  std::string text;
  for (const std::int32_t token : tokenizer->encode("the END of it")) text += stream.push(token);
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(text + stream.finish(), "the ");
}

TEST(TextStream, HoldsBackWhatMayBeginAStopText) {
  EXPECT_THAT(pieces(*byte_tokenizer(), "aEaENb", {"END"}), ElementsAre("a", "", "Ea", "", "", "ENb", ""));
  EXPECT_THAT(pieces(*byte_tokenizer(), "aEN", {"END"}), ElementsAre("a", "", "", "EN")) << "the end releases it";
}

TEST(TextStream, FindsAStopTextThatBeginsInsideAnother) {
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "xaab", {"ab"})), "xa");
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "x\n\n\ny", {"\n\ny"})), "x\n");
}

TEST(TextStream, StopsAtTheFirstOfSeveralStopTexts) {
  EXPECT_EQ(joined(pieces(*byte_tokenizer(), "one.two;three", {";", "."})), "one");
}

TEST(TextStream, FindsAStopTextOutsideAscii) { EXPECT_EQ(joined(pieces(*byte_tokenizer(), "aèb", {"è"})), "a"); }

TEST(TextStream, RefusesAnEmptyStopText) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_THAT(test_support::user_error_of([&] { TextStream(*tokenizer, {""}); }), testing::HasSubstr("stop"));
}

}  // namespace
}  // namespace virgil
