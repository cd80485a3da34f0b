#include "command/tokenize_report.h"

#include <gtest/gtest.h>

namespace virgil {
namespace {

TEST(ReadableToken, EscapesWhatATerminalCannotShow) {
  EXPECT_EQ(readable_token(" selva"), " selva");
  EXPECT_EQ(readable_token("a\n\tb"), "a\\n\\tb");
  EXPECT_EQ(readable_token("\x1B[2J\x7F"), "\\x1B[2J\\x7F");
  EXPECT_EQ(readable_token("\xC3"), "\\xC3") << "half a character";
  EXPECT_EQ(readable_token("\xC2\x9B"), "\\xC2\\x9B") << "a control character of two bytes";
  EXPECT_EQ(readable_token("perché"), "perché");
}

TEST(CutIntoTokens, PutsBarsBetweenTokensAndKeepsLines) {
  const auto tokenizer = make_tokenizer("byte", "");
  EXPECT_EQ(cut_into_tokens(*tokenizer, tokenizer->encode("ab\ncd")), "a|b|\\n\nc|d\n");
  EXPECT_EQ(cut_into_tokens(*tokenizer, tokenizer->encode("a\n")), "a|\\n\n");
}

}  // namespace
}  // namespace virgil
