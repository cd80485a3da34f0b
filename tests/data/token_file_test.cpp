#include "virgil/data/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "data/token_vectors.h"
#include "data/vocabulary.h"
#include "support/faulty_file_system.h"
#include "support/temporary_directory.h"
#include "support/user_error.h"

namespace virgil {
namespace {

using test_support::counting;
using test_support::to_vector;
using test_support::user_error_of;
using testing::HasSubstr;

class TokenFileTest : public testing::Test {
 protected:
  void write(TokenFileFormat format, std::span<const std::int32_t> tokens) {
    write_token_file(*files_, path_, format, *tokenizer_, tokens, 1234);
  }
  std::string open_error(std::string_view bytes) {
    test_support::write_all(path_, bytes);
    return user_error_of([&] { (void)open_token_file(path_); });
  }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "tokens.bin";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
  std::unique_ptr<Tokenizer> tokenizer_ = make_tokenizer("byte", "");
};

TEST_F(TokenFileTest, GivesBackTheIdsInEveryFormat) {
  for (const auto format : {TokenFileFormat::kVirgil, TokenFileFormat::kLlmC, TokenFileFormat::kNanoGpt}) {
    write(format, counting(256));
    const TokenFile file = open_token_file(path_);
    EXPECT_EQ(file.info.format, format);
    EXPECT_EQ(file.info.num_tokens, 256);
    EXPECT_EQ(to_vector(file.tokens), counting(256));
  }
}

TEST_F(TokenFileTest, SaysWhatItsHeaderKnows) {
  write(TokenFileFormat::kVirgil, counting(10));
  const TokenFileInfo info = open_token_file(path_).info;
  EXPECT_EQ(info.text_bytes, 1234);
  EXPECT_EQ(info.vocab_size, 256);
  EXPECT_EQ(info.token_bytes, 2);
  EXPECT_EQ(info.tokenizer_fingerprint, tokenizer_->fingerprint());
}

// The layouts are a promise to other programs, so they are spelt out here.
TEST_F(TokenFileTest, HasTheDocumentedLayouts) {
  using namespace std::string_literals;
  const std::vector<std::int32_t> ids{1, 200};
  const std::string payload = "\x01\0\xC8\0"s;
  write(TokenFileFormat::kNanoGpt, ids);
  EXPECT_EQ(test_support::read_all(path_), payload);
  write(TokenFileFormat::kLlmC, ids);
  EXPECT_EQ(test_support::read_all(path_), "\x88\xD8\x34\x01\x01\0\0\0\x02\0\0\0"s + std::string(1012, '\0') + payload);
  write(TokenFileFormat::kVirgil, ids);
  const std::string bytes = test_support::read_all(path_);
  EXPECT_EQ(bytes.substr(0, 40), "VIRGILTK\x01\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\0\xD2\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0"s);
  EXPECT_EQ(bytes.substr(40, 64), tokenizer_->fingerprint());
  EXPECT_EQ(bytes.substr(168, 88), std::string(88, '\0'));
  EXPECT_EQ(bytes.substr(256), payload);
}

TEST_F(TokenFileTest, StoresLargeVocabulariesIn32Bits) {
  std::string all;  // 70,000 characters
  for (char32_t c = 0x20000; c < 0x20000 + 70000; ++c) {
    all += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 63)),
            static_cast<char>(0x80 | ((c >> 6) & 63)), static_cast<char>(0x80 | (c & 63))};
  }
  tokenizer_ = make_tokenizer("char", all);
  const std::vector<std::int32_t> ids{0, 69999, 65536};
  write(TokenFileFormat::kVirgil, ids);
  EXPECT_EQ(open_token_file(path_).info.token_bytes, 4);
  EXPECT_EQ(to_vector(open_token_file(path_).tokens), ids);
  EXPECT_THAT(user_error_of([&] { write(TokenFileFormat::kLlmC, ids); }), HasSubstr("16-bit"));
  EXPECT_THAT(user_error_of([&] { write(TokenFileFormat::kNanoGpt, ids); }), HasSubstr("16-bit"));
}

TEST_F(TokenFileTest, NoticesEveryChangedByte) {
  write(TokenFileFormat::kVirgil, counting(20));
  const std::string whole = test_support::read_all(path_);
  for (std::size_t i = 8; i < whole.size(); ++i) {
    if (i >= 168 && i < 256) continue;  // zeros without a meaning
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_THAT(open_error(changed), HasSubstr(path_.string())) << i;
  }
  for (const std::size_t size : {std::size_t{9}, std::size_t{100}, std::size_t{255}, std::size_t{256}, whole.size() - 1}) {
    EXPECT_THAT(open_error(whole.substr(0, size)), HasSubstr("damaged")) << size;
  }
  EXPECT_THAT(open_error(whole + "xx"), HasSubstr("damaged"));
}

TEST_F(TokenFileTest, NamesDefectsOfForeignFiles) {
  using namespace std::string_literals;
  EXPECT_THAT(open_error(""), HasSubstr("empty"));
  EXPECT_THAT(open_error("abc"), HasSubstr("3 bytes are not whole"));
  EXPECT_THAT(open_error("\x88\xD8\x34\x01\x01\0\0\0"s), HasSubstr("header"));
  EXPECT_THAT(open_error("\x88\xD8\x34\x01\x02\0\0\0"s + std::string(1016, '\0')), HasSubstr("version 2"));
  EXPECT_THAT(open_error("\x88\xD8\x34\x01\x01\0\0\0\xFF\xFF\xFF\xFF"s + std::string(1012, '\0')), HasSubstr("counts"));
  EXPECT_THAT(open_error("\xA1\xD9\x34\x01\x01\0\0\0"s + std::string(1016, '\0')), HasSubstr("version 1"));
  EXPECT_THAT(open_error("\x93NUMPY\x01\0v\0{'descr': '<u2'"s), HasSubstr("NumPy array"));
  EXPECT_THAT(open_error("Nel mezzo del cammin di nostra vita."), HasSubstr("rename it to .txt"));
}

template <typename Id>
std::string bytes_of_ids(const std::vector<std::uint64_t>& ids) {
  std::string bytes;
  for (const std::uint64_t id : ids) {
    const auto narrow = static_cast<Id>(id);
    bytes.append(reinterpret_cast<const char*>(&narrow), sizeof(narrow));
  }
  return bytes;
}

TEST_F(TokenFileTest, ReadsLlmCsWideIds) {
  using namespace std::string_literals;
  test_support::write_all(
      path_, "\xA1\xD9\x34\x01\x07\0\0\0\x02\0\0\0"s + std::string(1012, '\0') + bytes_of_ids<std::uint32_t>({1, 128000}));
  EXPECT_EQ(to_vector(open_token_file(path_).tokens), (std::vector<std::int32_t>{1, 128000}));
}

TEST_F(TokenFileTest, RefusesWideIdsWithoutAHeaderUntilTheirTypeIsGiven) {
  const std::vector<std::uint64_t> ids{464, 3290, 318, 257, 0, 50256, 11, 262, 50000, 13};
  const std::vector<std::int32_t> expected(ids.begin(), ids.end());
  EXPECT_THAT(open_error(bytes_of_ids<std::uint32_t>(ids)), HasSubstr("--token_type uint32"));
  EXPECT_EQ(to_vector(open_token_file(path_, TokenType::kUint32).tokens), expected);
  EXPECT_EQ(open_token_file(path_, TokenType::kUint16).info.num_tokens, 20);
  EXPECT_THAT(open_error(bytes_of_ids<std::uint64_t>(ids)), HasSubstr("--token_type uint64"));
  EXPECT_EQ(to_vector(open_token_file(path_, TokenType::kUint64).tokens), expected);
  test_support::write_all(path_, bytes_of_ids<std::uint16_t>(ids));
  EXPECT_EQ(to_vector(open_token_file(path_).tokens), expected);
  EXPECT_THAT(user_error_of([&] { (void)open_token_file(path_, TokenType::kUint64); }), HasSubstr("not whole 64-bit ids"));
}

TEST_F(TokenFileTest, TellsWideIdsOfLargeVocabulariesAndLeavesSmallOnes) {
  std::mt19937 random(8);
  std::vector<std::uint64_t> large, small;
  for (int i = 0; i < 1000; ++i) large.push_back(random() % 128256);
  for (int i = 0; i < 1000; ++i) small.push_back(random() % 4);  // four letters
  EXPECT_THAT(open_error(bytes_of_ids<std::uint32_t>(large)), HasSubstr("--token_type uint32"));
  test_support::write_all(path_, bytes_of_ids<std::uint16_t>(small));
  EXPECT_EQ(open_token_file(path_).info.num_tokens, 1000);
  test_support::write_all(path_, std::string(64, '\0'));
  EXPECT_EQ(open_token_file(path_).info.num_tokens, 32);
}

TEST_F(TokenFileTest, NamesIdsTooWideForAnyVocabulary) {
  test_support::write_all(path_, bytes_of_ids<std::uint64_t>({7, (std::uint64_t{1} << 40) + 5}));
  const TokenFile file = open_token_file(path_, TokenType::kUint64);
  EXPECT_THAT(user_error_of([&] { check_token_file_ids(file, 50257, path_); }),
              HasSubstr("id 1099511627781 at position 1 (byte 8)"));
}

TEST_F(TokenFileTest, NamesIdsBeyondTheVocabulary) {
  write(TokenFileFormat::kNanoGpt, std::vector<std::int32_t>{1, 2, 255, 3});
  const TokenFile file = open_token_file(path_);
  EXPECT_NO_THROW(check_token_file_ids(file, 256, path_));
  const std::string message = user_error_of([&] { check_token_file_ids(file, 255, path_); });
  EXPECT_THAT(message, HasSubstr("id 255 at position 2 (byte 4)"));
}

TEST_F(TokenFileTest, KeepsTheOldFileWhenTheDiskIsFull) {
  write(TokenFileFormat::kVirgil, counting(5));
  for (std::int64_t call = 0; call < 4; ++call) {
    test_support::FaultyFileSystem faulty(*files_, test_support::FaultyFileSystem::Fault::kNoSpace, call);
    EXPECT_THROW(write_token_file(faulty, path_, TokenFileFormat::kVirgil, *tokenizer_, counting(7), 7), UserError);
    EXPECT_EQ(to_vector(open_token_file(path_).tokens), counting(5));
    const std::filesystem::directory_iterator entries(path_.parent_path());
    EXPECT_EQ(std::ranges::count_if(entries, [](const auto& entry) { return !name_of_temporary(entry.path()).empty(); }), 0);
  }
}

// Random bytes either open as something or are refused by a UserError.
TEST_F(TokenFileTest, SurvivesRandomFiles) {
  std::mt19937 random(6);
  write(TokenFileFormat::kLlmC, counting(30));
  const std::string whole = test_support::read_all(path_);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole.substr(0, random() % whole.size());
    for (int i = 0; i < 3 && !bytes.empty(); ++i)
      bytes[random() % std::min<std::size_t>(16, bytes.size())] = static_cast<char>(random());
    test_support::write_all(path_, bytes);
    try {
      const TokenFile file = open_token_file(path_);
      EXPECT_EQ(static_cast<std::int64_t>(to_vector(file.tokens).size()), file.info.num_tokens);
    } catch (const UserError&) {
    }
  }
}

}  // namespace
}  // namespace virgil
