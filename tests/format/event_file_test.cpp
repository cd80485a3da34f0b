#include "virgil/format/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/temporary_directory.h"
#include "virgil/base/file_system.h"

namespace virgil {
namespace {

/// From the definition, a bit at a time (RFC 3720, appendix B.4).
std::uint32_t crc32c_by_bits(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

std::uint32_t masked(std::uint32_t crc) { return (crc >> 15 | crc << 17) + 0xA282EAD8U; }

template <typename Number>
Number number_at(std::string_view bytes, std::size_t offset) {
  Number number;
  std::memcpy(&number, bytes.substr(offset, sizeof(Number)).data(), sizeof(Number));
  return number;
}

/// The messages of a file's records, checksums checked.
std::vector<std::string> records_of(std::string_view file) {
  std::vector<std::string> records;
  while (!file.empty()) {
    const auto length = number_at<std::uint64_t>(file, 0);
    EXPECT_EQ(number_at<std::uint32_t>(file, 8), masked(crc32c_by_bits(file.substr(0, 8))));
    const std::string_view message = file.substr(12, length);
    EXPECT_EQ(number_at<std::uint32_t>(file, 12 + length), masked(crc32c_by_bits(message)));
    records.emplace_back(message);
    file.remove_prefix(16 + length);
  }
  return records;
}

class EventFiles : public testing::Test {
 protected:
  EventFile begin() { return {files_->create(path_), 1700000000.5}; }
  [[nodiscard]] std::vector<std::string> records() const { return records_of(test_support::read_all(path_)); }

  test_support::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "events";
  std::unique_ptr<FileSystem> files_ = make_posix_file_system();
};

TEST(MaskedCrc32c, FollowsTheDefinition) {
  EXPECT_EQ(crc32c_by_bits("123456789"), 0xE3069283U) << "the check value of the catalogue";
  std::string bytes;
  for (int size = 0; size < 300; ++size) {
    EXPECT_EQ(masked_crc32c(bytes), masked(crc32c_by_bits(bytes))) << size;
    bytes += static_cast<char>(size * 37);
  }
}

TEST_F(EventFiles, BeginWithTheirVersion) {
  begin().flush();
  // Field 1, a double; field 3, a string.
  EXPECT_EQ(records(),
            std::vector<std::string>{std::string("\x09\x00\x00\x20\x40\xFC\x54\xD9\x41\x1A\x0D", 11) + "brain.Event:2"});
}

TEST_F(EventFiles, KeepTheScalarsOfAStepTogether) {
  EventFile file = begin();
  file.scalars(300, 0, std::vector<EventScalar>{{"a", 1.5}, {"bc", -2}});
  file.scalars(301, 0, {});
  file.flush();
  ASSERT_EQ(records().size(), 2U);
  const std::string time("\x09\0\0\0\0\0\0\0\0", 9);
  const std::string step("\x10\xAC\x02", 3);
  const std::string first(
      "\x0A\x08\x0A\x01"
      "a\x15\x00\x00\xC0\x3F",
      10);
  const std::string second(
      "\x0A\x09\x0A\x02"
      "bc\x15\x00\x00\x00\xC0",
      11);
  EXPECT_EQ(records()[1], time + step + "\x2A\x15" + first + second);
}

TEST_F(EventFiles, HoldTextsAsTensorsOfStrings) {
  EventFile file = begin();
  file.text(1, 0, "sample", "Nel mezzo");
  file.flush();
  const std::string tensor = std::string("\x42\x13\x08\x07\x12\x04\x12\x02\x08\x01\x42\x09", 12) + "Nel mezzo";
  EXPECT_THAT(records()[1], testing::AllOf(testing::HasSubstr(tensor), testing::HasSubstr("\x0A\x04text")));
}

TEST_F(EventFiles, HoldHyperparametersOfThreeTypes) {
  EventFile file = begin();
  file.hyperparameters(0, std::vector<Hyperparameter>{{"flag", true}, {"rate", 0.5}, {"name", std::string("x")}});
  file.flush();
  EXPECT_THAT(records()[1], testing::AllOf(testing::HasSubstr("_hparams_/session_start_info"),
                                           testing::HasSubstr("\x0A\x04"
                                                              "flag\x12\x02\x20\x01"),
                                           testing::HasSubstr(std::string("\x0A\x04rate\x12\x09\x11\0\0\0\0\0\0\xE0\x3F", 17)),
                                           testing::HasSubstr("\x0A\x04name\x12\x03\x1A\x01x")));
}

TEST(EventFileNames, AreOrderedByTimeAndKnownAgain) {
  EXPECT_EQ(event_file_name(1700000000), "events.out.tfevents.1700000000.virgil");
  EXPECT_LT(event_file_name(9), event_file_name(10));
  EXPECT_EQ(event_file_time(event_file_name(1700000000)), 1700000000);
  EXPECT_EQ(event_file_time(event_file_name(0)), 0);
  for (const char* name :
       {"events.out.tfevents.1700000000.host", "events.out.tfevents.17.virgil", "metrics.jsonl", "",
        "events.out.tfevents..virgil", "events.out.tfevents.170000000x.virgil", "events.out.tfevents.-170000000.virgil"}) {
    EXPECT_FALSE(event_file_time(name).has_value()) << name;
  }
}

}  // namespace
}  // namespace virgil
