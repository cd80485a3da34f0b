#include "virgil/generate/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/temporary_directory.h"
#include "support/tiny_text.h"
#include "support/user_error.h"
#include "virgil/data/tokenizer.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Prompt : public testing::Test {
 protected:
  std::vector<std::int32_t> encode(const Tokenizer& tokenizer, const std::string& prompt, bool new_document = false) {
    log_ = {};
    return encode_prompt(tokenizer, prompt, new_document, log_);
  }

  RecordingLogger log_;
  std::unique_ptr<Tokenizer> pairs_ = make_tokenizer("bpe:280", test_support::tiny_text());
  std::unique_ptr<Tokenizer> characters_ = make_tokenizer("char", test_support::tiny_text());
};

TEST_F(Prompt, ThatIsEmptyBeginsADocument) {
  const std::int32_t end = pairs_->end_of_text();
  ASSERT_GE(end, 0);
  EXPECT_THAT(encode(*pairs_, ""), ElementsAre(end));
  EXPECT_EQ(encode(*pairs_, "ba co"), pairs_->encode("ba co"));
  std::vector<std::int32_t> expected = pairs_->encode("ba co");
  expected.insert(expected.begin(), end);
  EXPECT_EQ(encode(*pairs_, "ba co", true), expected);
}

TEST_F(Prompt, OfSamplesFollowsTheSameRules) {
  EXPECT_THAT(encode_sample_prompt(*pairs_, ""), ElementsAre(pairs_->end_of_text()));
  EXPECT_EQ(encode_sample_prompt(*pairs_, "ba<|endoftext|>co "), encode(*pairs_, "ba<|endoftext|>co "));
  EXPECT_THAT(user_error_of([&] { (void)encode_sample_prompt(*characters_, ""); }),
              AllOf(HasSubstr("sample_prompt is empty"), HasSubstr("char tokenizer"), HasSubstr("at least one character")));
}

TEST_F(Prompt, NeedsACharacterWithoutAnEndOfText) {
  EXPECT_THAT(user_error_of([&] { (void)encode(*characters_, ""); }),
              AllOf(HasSubstr("the prompt is empty"), HasSubstr("char tokenizer"), HasSubstr("at least one character")));
  EXPECT_THAT(user_error_of([&] { (void)encode(*characters_, "ba", true); }), HasSubstr("leave --new_document out"));
}

TEST_F(Prompt, ThatEndsWithALoneSpaceGetsAHint) {
  const auto hints = [&](const Tokenizer& tokenizer, const std::string& prompt) {
    (void)encode(tokenizer, prompt);
    return log_.lines().size();
  };
  EXPECT_EQ(hints(*pairs_, "ba co "), 1U);
  EXPECT_THAT(log_.lines(), ElementsAre(AllOf(HasSubstr("hint: the prompt ends with a space"), HasSubstr("leave it out"))));
  EXPECT_EQ(hints(*pairs_, "ba co"), 0U);
  EXPECT_EQ(hints(*pairs_, "ba co\n"), 0U);
  EXPECT_EQ(hints(*characters_, "ba co "), 0U) << "a space is a character like others there";
  EXPECT_EQ(hints(*make_tokenizer("byte", ""), "ba co "), 0U);
}

TEST_F(Prompt, OfUnknownCharactersGetsAHint) {
  (void)encode(*characters_, "ba \xC3\xB1!");
  EXPECT_THAT(log_.lines(), ElementsAre(AllOf(HasSubstr("3 of the prompt's bytes belong to"), HasSubstr("char tokenizer"))));
  (void)encode(*characters_, "ba");
  EXPECT_THAT(log_.lines(), IsEmpty());
}

TEST_F(Prompt, ReadsAnEndOfTextMarkAsTrainingDoes) {
  std::vector<std::int32_t> expected = pairs_->encode("ba");
  expected.push_back(pairs_->end_of_text());
  for (const std::int32_t token : pairs_->encode("co")) expected.push_back(token);
  EXPECT_EQ(encode(*pairs_, "ba<|endoftext|>co"), expected);
  EXPECT_THAT(encode(*pairs_, "<|endoftext|>"), ElementsAre(pairs_->end_of_text()));
  EXPECT_EQ(encode(*characters_, "ba<|endoftext|>"), characters_->encode("ba<|endoftext|>")) << "there is no such token";
}

TEST_F(Prompt, IsConvertedFromWhereverItComes) {
  const std::string bytes = "\xEF\xBB\xBFNel\r\nmezzo";
  std::istringstream in(bytes);
  EXPECT_EQ(prompt_from_stream(in, log_), "Nel\nmezzo");
  EXPECT_EQ(prompt_from_bytes(bytes, "--prompt", log_), "Nel\nmezzo");
  const test_support::TemporaryDirectory directory;
  test_support::write_all(directory.path() / "prompt.txt", bytes);
  EXPECT_EQ(prompt_from_file(directory.path() / "prompt.txt", log_), "Nel\nmezzo");
  test_support::write_all(directory.path() / "empty.txt", "");
  EXPECT_EQ(prompt_from_file(directory.path() / "empty.txt", log_), "");
}

TEST_F(Prompt, ThatIsNoTextIsRefused) {
  using namespace std::string_literals;
  std::istringstream in("PK\3\4\0\0"s);
  EXPECT_THAT(user_error_of([&] { (void)prompt_from_stream(in, log_); }),
              AllOf(HasSubstr("standard input: the prompt holds a NUL byte at offset 4"), HasSubstr("not a text")));
}

}  // namespace
}  // namespace virgil
