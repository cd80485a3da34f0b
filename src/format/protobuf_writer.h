// The wire format of Protocol Buffers, as far as an event file needs it (protobuf.dev/programming-guides/encoding).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace virgil {

/// Appends the bytes of a number, little-endian whatever the machine is.
template <typename Bits>
void append_little_endian(std::string& bytes, Bits bits) {
  for (std::size_t i = 0; i < sizeof(Bits); ++i) bytes += static_cast<char>(bits >> (8 * i) & 0xFF);
}

/// Builds one message, field by field.
class ProtobufWriter {
 public:
  ProtobufWriter& integer(std::uint32_t field, std::int64_t value) {
    tag(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufWriter& float64(std::uint32_t field, double value) {
    tag(field, kFixed64);
    append_little_endian(message_, std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufWriter& float32(std::uint32_t field, float value) {
    tag(field, kFixed32);
    append_little_endian(message_, std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  /// A string, bytes, or a message within this one.
  ProtobufWriter& bytes(std::uint32_t field, std::string_view value) {
    tag(field, kLengthDelimited);
    varint(value.size());
    message_ += value;
    return *this;
  }
  ProtobufWriter& message(std::uint32_t field, const ProtobufWriter& inner) { return bytes(field, inner.message_); }

  [[nodiscard]] const std::string& text() const { return message_; }

 private:
  enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

  void tag(std::uint32_t field, WireType type) { varint(field << 3 | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) message_ += static_cast<char>((value & 0x7F) | 0x80);
    message_ += static_cast<char>(value);
  }
  std::string message_;
};

}  // namespace virgil
