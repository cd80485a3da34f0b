#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "data/virgil_tokenizer_file.h"
#include "support/temporary_directory.h"
#include "virgil/base/error.h"
#include "virgil/data/tokenizer.h"

namespace virgil {
namespace {

using test_support::TemporaryDirectory;

std::string file_error(std::string_view content) {
  try {
    (void)read_virgil_tokenizer_file(content, "t.json");
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

void save(const Tokenizer& tokenizer, const std::filesystem::path& directory) {
  for (const Tokenizer::File& file : tokenizer.files()) std::ofstream(directory / file.name, std::ios::binary) << file.content;
}

TEST(TokenizerFile, RestoresTheSameMapping) {
  for (const char* spec : {"byte", "char"}) {
    const TemporaryDirectory directory;
    const auto tokenizer = make_tokenizer(spec, "Nel mezzo, \"perché\" \\ \n\t\x01\x7F\u2028漢\xF0\x9F\x98\x80");
    save(*tokenizer, directory.path());
    const auto loaded = load_tokenizer(directory.path());
    EXPECT_EQ(loaded->name(), spec);
    EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
    EXPECT_EQ(loaded->encode("mezzo \xFF perché"), tokenizer->encode("mezzo \xFF perché"));
  }
}

TEST(TokenizerFile, NamesTheDefect) {
  EXPECT_THAT(file_error("{"), testing::HasSubstr("not valid JSON"));
  EXPECT_THAT(file_error("[[[[[[[[1]]]]]]]]"), testing::HasSubstr("nested deeper"));
  EXPECT_THAT(file_error("[]"), testing::HasSubstr("\"format\" is missing"));
  EXPECT_THAT(file_error(R"({"format":"x"})"), testing::HasSubstr("not a Virgil tokenizer"));
  EXPECT_THAT(file_error(R"({"format":"virgil-tokenizer","version":2,"type":"byte"})"), testing::HasSubstr("version 2"));
  EXPECT_THAT(file_error(R"({"format":"virgil-tokenizer","version":1,"type":"word"})"), testing::HasSubstr("\"word\""));
  const auto with_characters = [](const std::string& list) {
    return file_error(R"({"format":"virgil-tokenizer","version":1,"type":"char","characters":)" + list + "}");
  };
  EXPECT_THAT(with_characters("[]"), testing::HasSubstr("not a list"));
  EXPECT_THAT(with_characters("3"), testing::HasSubstr("not a list"));
  EXPECT_THAT(with_characters(R"(["a","b","a"])"), testing::HasSubstr("U+0061 twice"));
  EXPECT_THAT(with_characters(R"(["a","bc"])"), testing::HasSubstr("entry 1"));
  EXPECT_THAT(with_characters(R"(["a",""])"), testing::HasSubstr("entry 1"));
  EXPECT_THAT(with_characters(R"(["a",7])"), testing::HasSubstr("entry 1"));
}

TEST(TokenizerFile, NamesADirectoryWithoutTokenizer) {
  const TemporaryDirectory directory;
  EXPECT_THROW((void)load_tokenizer(directory.path()), UserError);
}

}  // namespace
}  // namespace virgil
