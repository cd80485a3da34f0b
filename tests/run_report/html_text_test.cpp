#include "run_report/html_text.h"

#include <gtest/gtest.h>

#include <string>

namespace virgil {
namespace {

TEST(MarkupText, EscapesWhatHtmlAndXmlRead) {
  EXPECT_EQ(markup_text("</pre><script>\"a\" & 'b'"), "&lt;/pre&gt;&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;");
}

TEST(MarkupText, ShowsControlCharactersAndWhatIsNoText) {
  EXPECT_EQ(markup_text("a\n\tb"), "a\n\tb");
  EXPECT_EQ(markup_text(std::string("\0\x1b\x7f\r", 4)), "\u2400\u241b\u2421\u240d");
  EXPECT_EQ(markup_text("\xff"
                        "a\xc3"),
            "\ufffda\ufffd");
  EXPECT_EQ(markup_text("\u202e\u0085\ufffe"), "\ufffd\ufffd\ufffd") << "turned writing, a control, what XML forbids";
  EXPECT_EQ(markup_text("più 日本 🎉"), "più 日本 🎉");
}

TEST(ShortName, CutsInTheMiddle) {
  EXPECT_EQ(short_name("tiny", 10), "tiny");
  EXPECT_EQ(short_name("abcdefghij", 5), "ab…ij");
  EXPECT_EQ(short_name("a\nb", 10), "a b");
}

}  // namespace
}  // namespace virgil
