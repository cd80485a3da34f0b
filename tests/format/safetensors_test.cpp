#include "virgil/format/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "support/temporary_directory.h"
#include "support/user_error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;
using test_support::user_error_of;
using ::testing::HasSubstr;

std::string file_with(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file.append(header).append(data);
}

/// A tensor whose byte i is i * 7 + seed.
TensorSource pattern(const std::string& name, DType dtype, Shape shape, int seed) {
  return {name, dtype, shape, [seed](std::span<std::byte> dst, std::int64_t offset) {
            for (std::size_t i = 0; i < dst.size(); ++i) {
              dst[i] = static_cast<std::byte>((static_cast<std::int64_t>(i) + offset) * 7 + seed);
            }
          }};
}

std::vector<SafetensorsFile::Entry> parse(std::string_view file) {
  std::map<std::string, std::string> metadata;
  return parse_safetensors(std::as_bytes(std::span(file)), metadata, "m.safetensors");
}

std::string safetensors_error(std::string_view file) {
  std::string message = user_error_of([&] { static_cast<void>(parse(file)); });
  EXPECT_THAT(message, HasSubstr("m.safetensors: "));
  return message;
}

std::string safetensors_error(std::string_view header, std::string_view data) {
  return safetensors_error(file_with(header, data));
}

class SafetensorsTest : public ::testing::Test {
 protected:
  test_support::TemporaryDirectory directory_;
  fs::path path_ = directory_.path() / "model.safetensors";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST_F(SafetensorsTest, RoundTripsTensorsAndMetadata) {
  // 3 M floats are more than one piece of the writer (4 MiB).
  const std::vector<TensorSource> tensors = {
      pattern("large", DType::kFloat32, {1500, 2000}, 1), pattern("scalar", DType::kInt32, {}, 2),
      pattern("empty", DType::kFloat32, {0, 3}, 3), pattern("name \"\\ é", DType::kBFloat16, {2, 3, 5, 7}, 4),
      pattern("half", DType::kFloat16, {3}, 5)};
  const WrittenFile written = write_safetensors(*files_, path_, tensors, {{"format", "pt"}, {"note", "é"}});
  EXPECT_EQ(written.sha256, sha256_of_file(path_));
  EXPECT_EQ(static_cast<std::uintmax_t>(written.size_bytes), fs::file_size(path_));

  const SafetensorsFile file(path_);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "é"}}));
  ASSERT_EQ(file.entries().size(), tensors.size());
  const char* dtype_names[] = {"F32", "I32", "F32", "BF16", "F16"};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const SafetensorsFile::Entry* entry = file.find(tensors[i].name);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->shape, tensors[i].shape);
    EXPECT_EQ(entry->dtype_name, dtype_names[i]);
    std::vector<std::byte> expected(entry->bytes.size());
    tensors[i].read(expected, 0);
    EXPECT_TRUE(std::ranges::equal(entry->bytes, expected)) << tensors[i].name;
  }
  EXPECT_EQ(file.find("missing"), nullptr);
}

TEST_F(SafetensorsTest, MovedFilesKeepTheirViews) {
  const std::vector<TensorSource> tensors = {pattern("a", DType::kFloat32, {2}, 9)};
  write_safetensors(*files_, path_, tensors, {});
  SafetensorsFile first(path_);
  const SafetensorsFile second(std::move(first));
  EXPECT_EQ(second.find("a")->bytes[1], std::byte{16});
}

TEST_F(SafetensorsTest, DataStartsAtAMultipleOfEight) {
  for (const char* name : {"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"}) {
    const std::vector<TensorSource> tensors = {pattern(name, DType::kFloat32, {1}, 0)};
    fs::remove(path_);
    write_safetensors(*files_, path_, tensors, {});
    EXPECT_EQ(fs::file_size(path_) % 8, 4U) << "8 + a padded header + one float";
  }
}

TEST_F(SafetensorsTest, WriterRefusesANameUsedTwice) {
  const std::vector<TensorSource> tensors = {pattern("a", DType::kFloat32, {1}, 0), pattern("a", DType::kFloat32, {1}, 0)};
  EXPECT_THROW(write_safetensors(*files_, path_, tensors, {}), InternalError);
}

TEST(ParseSafetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(parse(file_with("{}", "")).empty());
  EXPECT_TRUE(parse(file_with("{}   ", "")).empty());
  EXPECT_TRUE(parse(file_with(R"({"__metadata__":{}})", "")).empty());
  // The entries point into the file.
  const std::string file = file_with(R"({"b":{"data_offsets":[4,8],"shape":[],"dtype":"F32"},)"
                                     R"("a":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},)"
                                     R"("z":{"dtype":"F64","shape":[0],"data_offsets":[4,4]}})",
                                     "abcdefgh");
  const auto entries = parse(file);
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[1].name, "z");
  EXPECT_EQ(entries[2].name, "b");
  EXPECT_EQ(entries[2].shape, Shape());
  EXPECT_EQ(entries[2].bytes[0], std::byte{'e'});
}

TEST(ParseSafetensors, RefusesLyingLengths) {
  EXPECT_THAT(safetensors_error(""), HasSubstr("0 bytes are too few"));
  EXPECT_THAT(safetensors_error("1234567"), HasSubstr("7 bytes are too few"));
  EXPECT_THAT(safetensors_error(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}")),
              HasSubstr("claims 18446744073709551615 bytes"));
  EXPECT_THAT(safetensors_error(std::string("\x03\0\0\0\0\0\0\0{}", 10)), HasSubstr("claims 3 bytes"));
  EXPECT_THAT(safetensors_error("", "data"), HasSubstr("not a JSON object"));
  EXPECT_THAT(safetensors_error("[]", ""), HasSubstr("not a JSON object"));
  EXPECT_THAT(safetensors_error(" {}", ""), HasSubstr("not a JSON object"));
  EXPECT_THAT(safetensors_error("{", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(safetensors_error("{}{}", ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(safetensors_error("{\"\xff\":{}}", ""), HasSubstr("not valid JSON"));
}

TEST(ParseSafetensors, TellsAnotherKindOfFile) {
  const auto error_of = [](std::string_view content) {
    std::map<std::string, std::string> metadata;
    return user_error_of([&] { (void)parse_safetensors(std::as_bytes(std::span(content)), metadata, "m.safetensors"); });
  };
  EXPECT_THAT(error_of("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548105171\n"),
              ::testing::AllOf(HasSubstr("m.safetensors: is a Git LFS pointer"), HasSubstr("git lfs pull")));
  EXPECT_THAT(error_of("<!DOCTYPE html>\n<html>"), HasSubstr("a web page"));
  EXPECT_THAT(error_of("<html"), HasSubstr("a web page"));
}

TEST(ParseSafetensors, RefusesLyingOffsets) {
  const auto with = [](std::string_view offsets) {
    return R"({"a":{"dtype":"F32","shape":[2],"data_offsets":)" + std::string(offsets) + "}}";
  };
  EXPECT_EQ(parse(file_with(with("[0,8]"), "12345678")).size(), 1U);
  EXPECT_THAT(safetensors_error(with("[0,8]"), "1234567"), HasSubstr("damaged or truncated"));
  EXPECT_THAT(safetensors_error(with("[0,8]"), "123456789"), HasSubstr("1 bytes follow the last tensor"));
  EXPECT_THAT(safetensors_error(with("[1,9]"), "123456789"), HasSubstr("claims bytes 1 to 9"));
  EXPECT_THAT(safetensors_error(with("[8,0]"), "12345678"), HasSubstr("claims bytes 8 to 0"));
  EXPECT_THAT(safetensors_error(with("[0,7]"), "1234567"), HasSubstr("has 7 bytes, its shape and dtype ask for 8"));
  EXPECT_THAT(safetensors_error(with("[0,18446744073709551615]"), "12345678"), HasSubstr("damaged or truncated"));
  EXPECT_THAT(safetensors_error(with("[0,18446744073709551616]"), "12345678"), HasSubstr("not a whole one below 2^64"));
  EXPECT_THAT(safetensors_error(with("[-1,8]"), "12345678"), HasSubstr("negative number"));
  EXPECT_THAT(safetensors_error(with("[0,8.0]"), "12345678"), HasSubstr("not a whole one"));
  EXPECT_THAT(safetensors_error(with("[0]"), "12345678"), HasSubstr("two data_offsets"));
  EXPECT_THAT(safetensors_error(with("[0,8,9]"), "12345678"), HasSubstr("two data_offsets"));
  EXPECT_THAT(safetensors_error(with("[]"), "12345678"), HasSubstr("two data_offsets"));
  EXPECT_THAT(safetensors_error(with("null"), "12345678"), HasSubstr("unexpected null"));
}

TEST(ParseSafetensors, RefusesOverlapsAndGaps) {
  const auto two = [](std::string_view a, std::string_view b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(a) +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(b) + "}}";
  };
  EXPECT_EQ(parse(file_with(two("[4,8]", "[0,4]"), "12345678")).size(), 2U);
  EXPECT_THAT(safetensors_error(two("[0,4]", "[0,4]"), "1234"), HasSubstr("where 4 is the next free one"));
  EXPECT_THAT(safetensors_error(two("[0,4]", "[3,7]"), "1234567"), HasSubstr("where 4 is the next free one"));
  EXPECT_THAT(safetensors_error(two("[0,4]", "[5,9]"), "123456789"), HasSubstr("where 4 is the next free one"));
}

TEST(ParseSafetensors, RefusesLyingShapes) {
  const auto with = [](std::string_view dtype, std::string_view shape) {
    return R"({"a":{"dtype":)" + std::string(dtype) + R"(,"shape":)" + std::string(shape) + R"(,"data_offsets":[0,8]}})";
  };
  EXPECT_EQ(parse(file_with(with("\"F64\"", "[1,1,1,1]"), "12345678")).size(), 1U);
  EXPECT_THAT(safetensors_error(with("\"F64\"", "[1,1,1,1,1]"), "12345678"), HasSubstr("more than 4 dimensions"));
  EXPECT_THAT(safetensors_error(with("\"F64\"", "[1,1,1,1,1,1,1]"), "12345678"), HasSubstr("more than 4 dimensions"));
  EXPECT_THAT(safetensors_error(with("\"F64\"", "[4294967296,4294967296]"), "12345678"), HasSubstr("overflows"));
  EXPECT_THAT(safetensors_error(with("\"F64\"", "[2305843009213693953]"), "12345678"), HasSubstr("overflows"));
  EXPECT_THAT(safetensors_error(with("\"U8\"", "[18446744073709551615,0]"), "12345678"),
              HasSubstr("shape and dtype ask for 0"));
  EXPECT_THAT(safetensors_error(with("\"F32\"", "[1]"), "12345678"), HasSubstr("ask for 4"));
  EXPECT_THAT(safetensors_error(with("\"F7\"", "[1]"), "12345678"), HasSubstr("unknown dtype \"F7\""));
  EXPECT_THAT(safetensors_error(with("\"\"", "[1]"), "12345678"), HasSubstr("lacks its dtype"));
  EXPECT_THAT(safetensors_error(with("1", "[1]"), "12345678"), HasSubstr("unexpected number"));
  EXPECT_THAT(safetensors_error(with("\"F64\"", "[[1]]"), "12345678"), HasSubstr("unexpected list"));
  EXPECT_THAT(safetensors_error(with("\"F64\"", "{}"), "12345678"), HasSubstr("an object stands"));
  EXPECT_THAT(safetensors_error(R"({"a":{"dtype":"U8","shape":[9223372036854775808,0],"data_offsets":[0,0]}})", ""),
              HasSubstr("dimension 0 of \"a\" is 9223372036854775808"));
}

TEST(ParseSafetensors, RefusesDuplicatesNestingAndUnknownFields) {
  constexpr std::string_view kTensor = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_THAT(safetensors_error(R"({"a":)" + std::string(kTensor) + R"(,"a":)" + std::string(kTensor) + "}", "1"),
              HasSubstr("\"a\" is listed twice"));
  EXPECT_THAT(safetensors_error(R"({"__metadata__":{"k":"1","k":"2"}})", ""), HasSubstr("a key that is given twice"));
  EXPECT_THAT(safetensors_error(R"({"__metadata__":{"k":1}})", ""), HasSubstr("unexpected number"));
  EXPECT_THAT(safetensors_error(R"({"__metadata__":"k"})", ""), HasSubstr("unexpected string"));
  EXPECT_THAT(safetensors_error(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "1"),
              HasSubstr("given twice, at \"a\" / \"dtype\""));
  EXPECT_THAT(safetensors_error(R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", "1"),
              HasSubstr("given twice, at \"a\" / \"shape\""));
  EXPECT_THAT(safetensors_error(R"({"a":{"dtype":"U8","shape":[1],"offset":[0,1]}})", "1"), HasSubstr("unexpected list"));
  EXPECT_THAT(safetensors_error(R"({"a":true})", ""), HasSubstr("unexpected boolean"));
  EXPECT_THAT(safetensors_error("{\"a\":" + std::string(100000, '['), ""), HasSubstr("unexpected list"));
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "{\"a\":";
  EXPECT_THAT(safetensors_error(nested, ""), HasSubstr("an object stands"));
}

// Mutates a good file: whatever happens, the parser throws a UserError or returns views inside the file. Sanitizers see the
// rest.
TEST(ParseSafetensors, SurvivesMutations) {
  const std::string good =
      file_with(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                R"("bb":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}})",
                std::string(26, 'x'));
  const std::string alphabet = "0123456789{}[]:,\"-+.eEFUBab_ \\\xff\0\x01";
  std::mt19937 random(20240229);
  const auto below = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random); };
  int num_accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string file = good;
    for (std::size_t n = 1 + below(4); n > 0 && !file.empty(); --n) {
      const std::size_t position = below(file.size());
      switch (below(5)) {
        case 0:
          file[position] = alphabet[below(alphabet.size())];
          break;
        case 1:
          file[position] = static_cast<char>(file[position] ^ (1 << below(8)));
          break;
        case 2:
          file.erase(position, 1 + below(9));
          break;
        case 3:
          file.insert(position, file.substr(below(file.size()), 1 + below(40)));
          break;
        default:
          file.resize(position);
          break;
      }
    }
    // Half of the mutants get a true header length, so that they come past the first check.
    if (file.size() >= 8 && below(2) == 0) {
      const std::uint64_t length = file.size() - 8 - below(std::min<std::size_t>(file.size() - 7, 30));
      std::memcpy(file.data(), &length, 8);
    }
    try {
      for (const SafetensorsFile::Entry& entry : parse(file)) {
        const auto* begin = reinterpret_cast<const char*>(entry.bytes.data());
        ASSERT_GE(begin, file.data());
        ASSERT_LE(begin + entry.bytes.size(), file.data() + file.size());
        ASSERT_GE(entry.shape.num_elements(), 0);
      }
      ++num_accepted;
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(num_accepted, 0) << "every mutant was refused: the mutations are too coarse to test anything";
}

}  // namespace
}  // namespace virgil
