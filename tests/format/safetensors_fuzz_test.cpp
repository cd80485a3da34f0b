// A million hostile safetensors files, in memory. Each is a good one with a few mutations; whatever happens, the parser throws
// a UserError that names the file, or returns tensors that tile the data exactly. Sanitizers see the rest. Deterministic: a
// case that fails is found again by its seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/format/safetensors.h"

namespace virgil {
namespace {

constexpr std::uint64_t kNumParts = 10;  // tests that may run side by side
constexpr std::uint64_t kCasesPerPart = 100'000;

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere, and cheap.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t limit) { return next() % limit; }
  template <typename List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

 private:
  std::uint64_t state_;
};

/// A file in its three parts.
struct File {
  std::uint64_t header_length = 0;
  std::string header;
  std::string data;
};

File good_file(std::size_t number) {
  constexpr std::array<std::string_view, 4> kHeaders = {
      R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}})",
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"I64","shape":[1,1,2],"data_offsets":[0,16]}})",
      R"({"z":{"dtype":"F16","shape":[0,5],"data_offsets":[4,4]},"y":{"data_offsets":[0,4],"shape":[4],"dtype":"U8"}})",
      R"({"n":{"dtype":"F64","shape":[1,1,1,1],"data_offsets":[0,8]}}   )",
  };
  constexpr std::array<std::size_t, 4> kDataSizes = {26, 16, 4, 8};
  return {kHeaders[number].size(), std::string(kHeaders[number]), std::string(kDataSizes[number], 'x')};
}

constexpr const char* kNumbers[] = {"0",
                                    "1",
                                    "2",
                                    "3",
                                    "4",
                                    "8",
                                    "24",
                                    "26",
                                    "-0",
                                    "-1",
                                    "00",
                                    "1.0",
                                    "1e3",
                                    "0.5",
                                    "1e999",
                                    "127",
                                    "255",
                                    "65536",
                                    "2147483647",
                                    "2147483648",
                                    "4294967295",
                                    "4294967296",
                                    "4611686018427387904",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "-9223372036854775808",
                                    "-9223372036854775809",
                                    "18446744073709551615",
                                    "18446744073709551616",
                                    "999999999999999999999999999999"};
constexpr const char* kPieces[] = {"{",
                                   "}",
                                   "[",
                                   "]",
                                   ",",
                                   ":",
                                   "\"",
                                   "null",
                                   "true",
                                   "{}",
                                   "[]",
                                   "[[",
                                   "\\",
                                   "\\u0000",
                                   "\xff",
                                   "\"dtype\":\"F32\",",
                                   "\"shape\":[1],",
                                   "\"data_offsets\":[0,4],",
                                   "\"__metadata__\":{},",
                                   "\"a\":{},",
                                   "\"c\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},",
                                   "F32",
                                   "I8",
                                   "F8_E4M3",
                                   "1,1,1,1,1,1,",
                                   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                   "{\"a\":{\"a\":{\"a\":{\"a\":"};
constexpr std::uint64_t kLengths[] = {
    0,          1,         7,         8,    9, 1U << 31, 1ULL << 32, 99'999'999, 100'000'000, 100'000'001, (1ULL << 63) - 1,
    1ULL << 63, ~0ULL - 8, ~0ULL - 7, ~0ULL};
constexpr std::string_view kCharacters = "0123456789{}[]:,\"-+.eEFUBIab_ \\\xff\x01";

void flip_bit(std::string& text, Random& random) {
  if (text.empty()) return;
  char& c = text[random.below(text.size())];
  c = static_cast<char>(c ^ (1 << random.below(8)));
}

void replace_number(std::string& header, Random& random) {
  const auto is_digit = [&](std::size_t i) { return i < header.size() && header[i] >= '0' && header[i] <= '9'; };
  std::size_t begin = header.empty() ? 0 : random.below(header.size());
  while (begin < header.size() && !is_digit(begin)) ++begin;
  std::size_t end = begin;
  while (is_digit(end)) ++end;
  if (begin < end) header.replace(begin, end - begin, random.pick(kNumbers));
}

/// From one structural character to another: removed, doubled or moved.
void move_structure(std::string& header, Random& random) {
  const auto find = [&](std::size_t from) { return std::min(header.find_first_of("{}[],:\"", from), header.size()); };
  if (header.empty()) return;
  const std::size_t begin = find(random.below(header.size()));
  const std::size_t end = std::min(header.size(), find(begin + 1 + random.below(40)));
  const std::string piece = header.substr(begin, end - begin);
  if (random.below(2) == 0) header.erase(begin, end - begin);
  if (random.below(3) != 0) header.insert(find(random.below(header.size() + 1)), piece);
}

void mutate(File& file, Random& random) {
  const std::size_t at = random.below(file.header.size() + 1);
  switch (random.below(8)) {
    case 0:
      return flip_bit(random.below(4) == 0 ? file.data : file.header, random);
    case 1:
    case 2:
      return replace_number(file.header, random);
    case 3:
      return move_structure(file.header, random);
    case 4:
      file.header.insert(at, random.pick(kPieces));
      return;
    case 5:
      file.header.erase(at, 1 + random.below(10));
      return;
    case 6:
      if (at < file.header.size()) file.header[at] = random.pick(kCharacters);
      return;
    default:
      file.data.resize(random.below(2 * file.data.size() + 2));
      return;
  }
}

/// The file's bytes in memory of exactly their size, so that a sanitizer sees a read beyond them.
struct Bytes {
  std::unique_ptr<std::byte[]> memory;
  std::size_t size = 0;
};

Bytes make_case(std::uint64_t number) {
  Random random(number);
  File file = good_file(random.below(4));
  for (std::size_t count = 1 + random.below(3); count > 0; --count) mutate(file, random);
  // Most headers are of the length the file says, or the parser would never see them.
  const std::size_t lie = random.below(16);
  file.header_length = file.header.size() + (lie == 0 ? random.below(3) - 1 : 0);
  if (lie == 1) file.header_length = random.pick(kLengths);
  Bytes bytes;
  bytes.size = 8 + file.header.size() + file.data.size();
  if (random.below(16) == 0) bytes.size = random.below(bytes.size + 1);
  std::string whole(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) whole[i] = static_cast<char>(file.header_length >> (8 * i));
  whole += file.header;
  whole += file.data;
  bytes.memory = std::make_unique<std::byte[]>(bytes.size);
  std::memcpy(bytes.memory.get(), whole.data(), bytes.size);
  return bytes;
}

std::uint64_t element_size(std::string_view dtype) {
  if (dtype == "BOOL" || dtype == "U8" || dtype == "I8" || dtype.starts_with("F8_")) return 1;
  if (dtype == "U16" || dtype == "I16" || dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U32" || dtype == "I32" || dtype == "F32") return 4;
  return dtype == "U64" || dtype == "I64" || dtype == "F64" ? 8 : 0;
}

/// Whether the tensors tile the data behind the header without holes or overlaps, each as large as its type and shape say.
bool tiles(const std::vector<SafetensorsFile::Entry>& entries, const Bytes& bytes) {
  std::uint64_t header_length = 0;
  std::memcpy(&header_length, bytes.memory.get(), 8);
  const std::byte* position = bytes.memory.get() + 8 + header_length;
  std::set<std::string_view> names;
  for (const SafetensorsFile::Entry& entry : entries) {
    std::uint64_t size = element_size(entry.dtype_name);
    if (size == 0 || !names.insert(entry.name).second || entry.bytes.data() != position) return false;
    for (int axis = 0; axis < entry.shape.rank(); ++axis) {
      if (entry.shape[axis] < 0) return false;
      if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(entry.shape[axis]), &size)) return false;
    }
    if (entry.bytes.size() != size) return false;
    position += size;
  }
  return position == bytes.memory.get() + bytes.size;
}

/// What the messages of the parser's checks hold: a fuzzer that does not reach all of them tests less than it seems to.
constexpr const char* kDefects[] = {
    "bytes are too few",     "the header claims",     "not a JSON object",  "not valid JSON",
    "is listed twice",       "that is given twice",   "an object stands",   "an unexpected string",
    "an unexpected list",    "an unexpected number",  "more than",          "a negative number",
    "not a whole one",       "an unexpected boolean", "an unexpected null", "lacks its dtype",
    "claims bytes",          "unknown dtype",         "overflows",          "its shape and dtype ask for",
    "follow the last tensor"};

class SafetensorsFuzz : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SafetensorsFuzz, RefusesOrTilesTheData) {
  std::array<std::int64_t, std::size(kDefects)> num_refused{};
  std::int64_t num_accepted = 0;
  for (std::uint64_t i = 0; i < kCasesPerPart; ++i) {
    const std::uint64_t number = GetParam() * kCasesPerPart + i;
    const Bytes bytes = make_case(number);
    std::map<std::string, std::string> metadata;
    try {
      const auto entries = parse_safetensors({bytes.memory.get(), bytes.size}, metadata, "m.safetensors");
      ASSERT_TRUE(tiles(entries, bytes)) << "case " << number;
      ++num_accepted;
    } catch (const UserError& error) {
      const std::string_view message = error.what();
      ASSERT_TRUE(message.starts_with("m.safetensors: ")) << "case " << number << ": " << message;
      for (std::size_t d = 0; d < num_refused.size(); ++d) {
        if (message.find(kDefects[d]) == message.npos) continue;
        ++num_refused[d];
        break;
      }
    }
  }
  EXPECT_GT(num_accepted, kCasesPerPart / 100) << "the mutations are too coarse to come past the first checks";
  for (std::size_t d = 0; d < num_refused.size(); ++d) EXPECT_GT(num_refused[d], 0) << "never reached: " << kDefects[d];
}

INSTANTIATE_TEST_SUITE_P(Part, SafetensorsFuzz, testing::Range(std::uint64_t{0}, kNumParts), testing::PrintToStringParamName());

}  // namespace
}  // namespace virgil
