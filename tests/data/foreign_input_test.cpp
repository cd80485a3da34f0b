#include "data/foreign_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace virgil {
namespace {

using namespace std::string_literals;
using testing::AllOf;
using testing::HasSubstr;

std::string describe(std::string_view start, const std::string& path = "f.txt") {
  return describe_foreign_input(start, path).value_or("a text");
}

TEST(ForeignInput, NamesTheCommandThatConverts) {
  EXPECT_THAT(describe("%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\n<< /Type"), HasSubstr("pdftotext f.txt f.txt.txt"));
  EXPECT_THAT(describe("%PDF-1.7\n", "a b/c.pdf"), HasSubstr("pdftotext 'a b/c.pdf' 'a b/c.txt'"));
  EXPECT_THAT(describe("\xFD"s + "7zXZ\0\0\4"s, "t.txt.xz"), HasSubstr("xz -dc t.txt.xz > t.txt"));
  EXPECT_THAT(describe("BZh91AY&SY\0\0"s, "t.jsonl.bz2"), HasSubstr("bzip2 -dc t.jsonl.bz2 > t.jsonl"));
  EXPECT_THAT(describe("\x28\xB5\x2F\xFD\x04\0"s, "t.zst"), HasSubstr("zstd -dc t.zst > t.txt"));
  EXPECT_THAT(describe("PK\x03\x04\x14\0\0\0\0\0 [Content_Types].xml"s, "a.docx"), HasSubstr("pandoc -t plain"));
  EXPECT_THAT(describe("PK\x03\x04\x14\0\0\0\0\0 notes.txt"s, "a.zip"), HasSubstr("unzip a.zip -d a"));
  EXPECT_THAT(describe("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"s, "a.doc"), HasSubstr("libreoffice"));
  EXPECT_THAT(describe("PAR1\x15\0\x15\0"s, "a.parquet"), AllOf(HasSubstr("Parquet"), HasSubstr("> a.jsonl")));
  EXPECT_THAT(describe("\x93NUMPY\x01\0v\0"s, "a.npy"), AllOf(HasSubstr("NumPy"), HasSubstr("a.bin")));
  EXPECT_THAT(describe("\x89HDF\r\n\x1A\n"s, "a.h5"), HasSubstr("h5py"));
  EXPECT_THAT(describe("SQLite format 3\0\x10\0"s, "a.db"), HasSubstr("sqlite3 a.db"));
  EXPECT_THAT(describe("\x89PNG\r\n\x1A\n"s), HasSubstr("a PNG picture, not a text"));
  EXPECT_THAT(describe("\x80\x04\x95\x10\0\0\0"s), HasSubstr("pickle"));
  EXPECT_THAT(describe("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"), HasSubstr("git lfs pull"));
  EXPECT_THAT(describe(std::string(257, '\0') + "ustar\0" + std::string(100, '\0')), HasSubstr("tar -xf"));
}

// What the shell hands to Python must be the path, whatever is in it.
TEST(ForeignInput, QuotesPathsInPrograms) {
  EXPECT_THAT(describe("PAR1\x15\0\x15\0"s, "it's \"$x\".parquet"), HasSubstr(R"(ParquetFile('it\\'s \"\$x\".parquet'))"));
}

TEST(ForeignInput, LeavesTextsThatBeginWithTheLettersOfASignature) {
  for (const char* text :
       {"ORCHESTRA: the pit in front of the stage.", "ID3 tags hold the title of a song.",
        "PAR1 is the magic number of Parquet.", "GGUF, a format of llama.cpp", "BZh and friends: signatures"}) {
    EXPECT_EQ(describe(text), "a text") << text;
  }
  EXPECT_EQ(describe("<html><body>a page</body></html>"), "a text");
  EXPECT_EQ(describe(""), "a text");
}

TEST(ForeignInput, LeavesIdsThatBeginWithTwoBytesOfAPickle) {
  EXPECT_FALSE(describe_foreign_ids("\x80\x02\x10\x00\x33\x44"s, "t.bin"));
  EXPECT_THAT(describe_foreign_ids("\x93NUMPY\x01\0v\0"s, "t.bin").value_or(""), HasSubstr("NumPy"));
  EXPECT_THAT(describe_foreign_ids("Nel mezzo del cammin di nostra vita", "t.bin").value_or(""),
              HasSubstr("rename it to .txt"));
}

TEST(ForeignInput, TellsATableFromProse) {
  const std::string rows = "1,\"a, b\",x\n2,c,y\n3,\"d\ne\",z\n4,f,w\n";
  EXPECT_THAT(
      describe_table("id,text,label\n" + rows, "t.csv").value_or(""),
      AllOf(HasSubstr("3 columns (id, text, label)"), HasSubstr("csv.DictReader(open('t.csv'))"), HasSubstr("> t.jsonl")));
  EXPECT_THAT(describe_table("id\ttext\n1\ta\n2\tb\n3\tc\n4\td\n", "t.tsv").value_or(""), HasSubstr("delimiter='\\t'"));
  EXPECT_FALSE(describe_table("Ahi, quanto a dir, qual era\nnel, pensier, rinova\nla, paura, ahi\nahi, ahi, ahi\n.\n", "t"));
  EXPECT_FALSE(describe_table("id,text\n1,a\n2\n3,c\n4,d\n", "t"));
  EXPECT_FALSE(describe_table("a line\nand another\nof prose\nwithout\ncommas\n", "t"));
}

}  // namespace
}  // namespace virgil
