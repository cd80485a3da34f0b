#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "data/virgil_tokenizer_file.h"
#include "data/vocabulary.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"
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
  EXPECT_THAT(file_error(std::string(100, '[') + "1" + std::string(100, ']')), testing::HasSubstr("nested deeper"));
  EXPECT_THAT(file_error("[]"), testing::HasSubstr("must be a JSON object"));
  EXPECT_THAT(file_error("{}"), testing::HasSubstr("\"format\" is missing"));
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

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

std::string load_error(const std::filesystem::path& path) {
  return test_support::user_error_of([&] { (void)make_tokenizer(path.string(), ""); });
}

TEST(TokenizerFile, IsFoundInARunsFolder) {
  const TemporaryDirectory directory;
  const std::filesystem::path run = directory.path();
  std::filesystem::create_directories(run / "step-00000002");
  std::filesystem::create_directories(run / "best");  // a kill may have left it empty
  save(*make_tokenizer("char", "ab"), run / "step-00000002");
  EXPECT_EQ(make_tokenizer(run.string(), "")->vocab_size(), 34);
}

TEST(TokenizerFile, NamesWhatLiesInItsPlace) {
  const TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path();
  constexpr std::string_view kPointer = "version https://git-lfs.github.com/spec/v1\noid sha256:cd\nsize 1355256\n";
  write_file(folder / "a/tokenizer.json", kPointer);
  write_file(folder / "b/tokenizer.json", "<!DOCTYPE html>");
  write_file(folder / "c/vocab.json", "{}");
  write_file(folder / "c/merges.txt", kPointer);
  write_file(folder / "d/vocab.json", "{}");
  write_file(folder / "e/tokenizer.model", "x");
  write_file(folder / "f/vocab.txt", "x");
  EXPECT_THAT(load_error(folder / "a"), testing::HasSubstr("git lfs pull"));
  EXPECT_THAT(load_error(folder / "b/tokenizer.json"), testing::HasSubstr("web page"));
  EXPECT_THAT(load_error(folder / "c"), testing::HasSubstr("merges.txt: is a Git LFS pointer"));
  EXPECT_THAT(load_error(folder / "d"), testing::HasSubstr("merges.txt: missing"));
  EXPECT_THAT(load_error(folder / "e"), testing::HasSubstr("SentencePiece"));
  EXPECT_THAT(load_error(folder / "f"), testing::HasSubstr("WordPiece"));
}

TEST(TokenizerFile, IsReadFromVocabAndMerges) {
  const TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path();
  const auto trained = make_tokenizer("bpe:270", test_support::kTercets);
  const auto document = nlohmann::json::parse(trained->files().front().content);
  std::string merges = "#version: 0.2\n";
  for (const std::string merge : document["model"]["merges"]) merges += merge + "\r\n";
  write_file(folder / "vocab.json", document["model"]["vocab"].dump());
  write_file(folder / "merges.txt", merges);
  EXPECT_EQ(load_tokenizer(folder)->fingerprint(), trained->fingerprint());
  EXPECT_EQ(load_tokenizer_file(folder / "vocab.json")->end_of_text(), 269);
  write_file(folder / "added_tokens.json", R"({"[PAD]": 270})");
  EXPECT_EQ(load_tokenizer(folder)->vocab_size(), 271);
  const TemporaryDirectory copy;  // what a checkpoint holds
  save(*load_tokenizer(folder), copy.path());
  EXPECT_EQ(load_tokenizer(copy.path())->fingerprint(), load_tokenizer(folder)->fingerprint());
}

TEST(TokenizerFile, HintsAtWhatANameMeans) {
  const auto error_of = [](const char* spec) { return test_support::user_error_of([&] { (void)make_tokenizer(spec, ""); }); };
  EXPECT_THAT(error_of("bpe"), testing::HasSubstr("bpe:4096"));
  EXPECT_THAT(error_of("word"), testing::HasSubstr("whole words"));
  EXPECT_THAT(error_of("cl100k_base"), testing::HasSubstr("tokenizer.json"));
  EXPECT_THAT(error_of("gpt-4"), testing::HasSubstr("tokenizer.json"));
  EXPECT_THAT(error_of("SentencePiece"), testing::HasSubstr("bpe:4096"));
  EXPECT_THAT(error_of("chars"), testing::HasSubstr("char"));
  EXPECT_THAT(error_of("gtp2"), testing::HasSubstr("did you mean gpt2?"));
  EXPECT_THAT(error_of("some/model"), testing::HasSubstr("no such file"));
  EXPECT_LT(error_of(std::string(5000, 'x').c_str()).size(), 500U);
}

}  // namespace
}  // namespace virgil
