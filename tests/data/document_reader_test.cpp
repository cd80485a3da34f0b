#include "data/document_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/gzip_bytes.h"
#include "data/text_corpus.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::user_error_of;
using testing::ElementsAre;
using testing::HasSubstr;

class DocumentReaderTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, std::string_view bytes) {
    test_support::write_all(directory_.path() / name, bytes);
    return directory_.path() / name;
  }
  /// The texts, with "|" for every end of a document.
  std::string read(const std::vector<std::filesystem::path>& files, bool split = true) {
    const TextCorpus corpus(files, options_, {mark_, split}, log_);
    num_documents_ = corpus.num_documents();
    num_marks_ = corpus.num_marks();
    fingerprint_ = corpus.fingerprint();
    std::string text;
    other_marks_ = corpus.other_marks();
    corpus.for_each_piece([&](const TextCorpus::Piece& piece) {
      text += std::string(static_cast<std::size_t>(piece.num_ends), '|');
      text += piece.text;
    });
    return text;
  }
  std::string read_one(std::string_view bytes, bool split = true) { return read({write("f", bytes)}, split); }

  test_support::TemporaryDirectory directory_;
  TextOptions options_;
  RecordingLogger log_;
  std::int64_t num_documents_ = 0;
  std::int64_t num_marks_ = 0;
  MarkCounts other_marks_;
  std::string mark_ = "<|endoftext|>";
  std::string fingerprint_;
};

TEST_F(DocumentReaderTest, EndsADocumentAtEveryMark) {
  EXPECT_EQ(read_one("a<|endoftext|>b\n<|endoftext|>\nc"), "a|b\n|\nc");
  EXPECT_EQ(num_documents_, 3);
  EXPECT_EQ(num_marks_, 2);
  EXPECT_EQ(read_one("<|endoftext|>a<|endoftext|><|endoftext|>b<|endoftext|>"), "|a||b|");
  EXPECT_EQ(num_documents_, 2);
  EXPECT_EQ(read_one("a <|endoftext|"), "a <|endoftext|");
  EXPECT_EQ(num_marks_, 0);
}

TEST_F(DocumentReaderTest, CountsMarksThatItLeavesInTheText) {
  EXPECT_EQ(read_one("a<|endoftext|>b<|endoftext|>", false), "a<|endoftext|>b<|endoftext|>");
  EXPECT_EQ(num_marks_, 2);
  EXPECT_EQ(num_documents_, 1);
}

TEST_F(DocumentReaderTest, SplitsAtTheTokenizersOwnMarkAndCountsOthers) {
  mark_ = "</s>";
  EXPECT_EQ(read_one("a</s>b<|endoftext|>c [EOS] <|endoftext|></s>"), "a|b<|endoftext|>c [EOS] <|endoftext|>|");
  EXPECT_EQ(num_marks_, 2);
  EXPECT_EQ(other_marks_, (MarkCounts{{"<|endoftext|>", 2}, {"[EOS]", 1}}));
  mark_ = "";
  EXPECT_EQ(read_one("a</s>b", false), "a</s>b");
  EXPECT_EQ(num_marks_, 0);
  EXPECT_EQ(other_marks_, (MarkCounts{{"</s>", 1}}));
}

TEST_F(DocumentReaderTest, TakesAMarkAtABorderForTheBorder) {
  EXPECT_EQ(read({write("a", "a"), write("b", "b")}), "a|b");
  const std::string plain = fingerprint_;
  EXPECT_EQ(read({write("a", "a<|endoftext|>"), write("b", "b")}), "a|b");
  EXPECT_EQ(fingerprint_, plain);
  EXPECT_EQ(read({write("a", "a"), write("b", "<|endoftext|>b")}), "a|b");
  EXPECT_EQ(read({write("a", "a<|endoftext|>"), write("b", "<|endoftext|>b")}), "a|b");
  EXPECT_EQ(read({write("a", "a<|endoftext|><|endoftext|>"), write("b", "b")}), "a||b");
  EXPECT_NE(fingerprint_, plain);
}

// The cache keeps tokens under the fingerprint: a text without marks has the one it always had, and where the same letters are
// documents of their own it is another.
TEST_F(DocumentReaderTest, HasAFingerprintOfTextsAndTheirEnds) {
  (void)read_one("ab");
  EXPECT_EQ(fingerprint_, "aab5a4a3fdbc0bb97e51c3d6fa3a2843d1a17c841c9b6a2e73dc0873078bc18a");
  const std::string whole = fingerprint_;
  (void)read_one("a<|endoftext|>b");
  EXPECT_NE(fingerprint_, whole);
  const std::string split = fingerprint_;
  (void)read_one("a<|endoftext|>b", false);
  EXPECT_NE(fingerprint_, split);
  (void)read_one("ab<|endoftext|>");
  EXPECT_NE(fingerprint_, whole);
}

TEST_F(DocumentReaderTest, FindsMarksInPiecesOfALongText) {
  std::string text;
  std::string expected;
  while (text.size() < (std::size_t{17} << 20)) {
    text += "selva oscura<|endoftext|>";
    expected += "selva oscura|";
  }
  EXPECT_EQ(read_one(text), expected);
}

TEST_F(DocumentReaderTest, ReadsTheRecordsOfJsonLines) {
  EXPECT_EQ(read_one("\n{\"text\": \"a\"}\n\n{\"text\": \"\"}\r\n{\"id\": 1, \"text\": \"b\\nc\"}"), "a|b\nc");
  EXPECT_EQ(num_documents_, 2);
  EXPECT_THAT(log_.lines(), ElementsAre(HasSubstr("CRLF"), HasSubstr("3 records, 1 of them without a text")));
  EXPECT_EQ(read_one("{\"text\": \"a<|endoftext|>\"}\n{\"text\": \"<|endoftext|>b<|endoftext|>c\"}\n"), "a|b|c");
  EXPECT_EQ(read_one("{\"text\": \"a\"}\n{\"text\": \"b\"}\n", false), "a|b");
  EXPECT_EQ(read({write("a", "{\"text\": \"a\"}"), write("b", "plain\n"), write("c", test_support::gzip_json_lines())}),
            "a|plain\n|selva|oscura");
  options_.text_field = "none";
  EXPECT_EQ(read_one("{\"text\": \"a\"}\n"), "{\"text\": \"a\"}\n");
}

TEST_F(DocumentReaderTest, ReadsLinesLongerThanAPiece) {
  const std::string word(std::size_t{17} << 20, 'x');
  EXPECT_EQ(read_one("{\"text\": \"a b\"}\n{\"text\": \"" + word + " c\"}\n{\"text\": \"d\"}"), "a b|" + word + " c|d");
}

TEST_F(DocumentReaderTest, NamesWhatIsWrong) {
  EXPECT_THAT(user_error_of([&] { read_one("{\"text\": \"a\"}\n{\"text\": \n"); }), HasSubstr("line 2 is not valid JSON"));
  EXPECT_THAT(user_error_of([&] { read_one("[{\"text\": \"a\"}]"); }), HasSubstr("jq -c '.[]'"));
  EXPECT_THAT(user_error_of([&] { read_one("{\"text\": \"\"}\n"); }), HasSubstr("holds no text"));
  EXPECT_THAT(user_error_of([&] { read_one("<|endoftext|>"); }), HasSubstr("holds no text"));
  (void)read_one("{\n  \"text\": \"a\"\n}\n");
  EXPECT_THAT(log_.lines().back(), HasSubstr("one JSON document"));
}

}  // namespace
}  // namespace virgil
