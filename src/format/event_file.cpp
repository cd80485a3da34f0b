#include "virgil/format/event_file.h"

#include <fmt/format.h>
#include <isa-l/crc.h>

#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "format/protobuf_writer.h"

namespace virgil {

namespace {

// TensorBoard takes every file for its own whose name has "tfevents" in it.
constexpr std::string_view kNameBegin = "events.out.tfevents.", kNameEnd = ".virgil";
constexpr std::size_t kNameDigits = 10;

/// Numbers of fields in event.proto, summary.proto, tensor.proto, tensor_shape.proto and, for hyperparameters,
/// plugin_data.proto and google/protobuf/struct.proto; and two types of types.proto.
namespace event_proto {
constexpr std::uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5;
constexpr std::uint32_t kSummaryValue = 1, kTag = 1, kSimpleValue = 2, kTensor = 8, kMetadata = 9;
constexpr std::uint32_t kPluginData = 1, kPluginName = 1, kPluginContent = 2;
constexpr std::uint32_t kDType = 1, kTensorShape = 2, kStringValue = 8, kShapeDimension = 2, kDimensionSize = 1;
constexpr std::uint32_t kHparamsVersion = 1, kSessionStart = 3, kHparams = 1, kStartTime = 5, kMapKey = 1, kMapValue = 2;
constexpr std::uint32_t kNumber = 2, kText = 3, kBoolean = 4;
constexpr std::int64_t kFloatType = 1, kStringType = 7;
}  // namespace event_proto

ProtobufWriter begin_event(std::int64_t step, double time) {
  ProtobufWriter message;
  message.float64(event_proto::kWallTime, time);
  if (step != 0) message.integer(event_proto::kStep, step);
  return message;
}

ProtobufWriter plugin_metadata(std::string_view plugin, std::string_view content = {}) {
  ProtobufWriter data;
  data.bytes(event_proto::kPluginName, plugin);
  if (!content.empty()) data.bytes(event_proto::kPluginContent, content);
  return ProtobufWriter().message(event_proto::kPluginData, data);
}

/// A vector of `size` elements of the type, which the caller adds.
ProtobufWriter vector_tensor(std::int64_t dtype, std::int64_t size) {
  const ProtobufWriter dimension = ProtobufWriter().integer(event_proto::kDimensionSize, size);
  ProtobufWriter shape;
  shape.message(event_proto::kShapeDimension, dimension);
  return ProtobufWriter().integer(event_proto::kDType, dtype).message(event_proto::kTensorShape, shape);
}

ProtobufWriter hparam_value(const Hyperparameter& parameter) {
  ProtobufWriter message;
  if (const bool* flag = std::get_if<bool>(&parameter.value)) message.integer(event_proto::kBoolean, *flag ? 1 : 0);
  if (const double* number = std::get_if<double>(&parameter.value)) message.float64(event_proto::kNumber, *number);
  if (const auto* text = std::get_if<std::string>(&parameter.value)) message.bytes(event_proto::kText, *text);
  return message;
}

}  // namespace

std::string event_file_name(std::int64_t unix_seconds) {
  return fmt::format("{}{:0{}}{}", kNameBegin, unix_seconds, kNameDigits, kNameEnd);
}

std::optional<std::int64_t> event_file_time(std::string_view name) {
  if (!name.starts_with(kNameBegin) || !name.ends_with(kNameEnd)) return std::nullopt;
  if (name.size() != kNameBegin.size() + kNameDigits + kNameEnd.size()) return std::nullopt;
  const std::string_view digits = name.substr(kNameBegin.size(), kNameDigits);
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (error != std::errc() || end != digits.data() + digits.size() || seconds < 0) return std::nullopt;
  return seconds;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  // The library neither inverts nor changes the bytes that it asks for as writable.
  auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  const std::uint32_t crc = ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~0U);
  constexpr std::uint32_t kMask = 0xa282ead8;  // so that the checksum of bytes that hold a checksum is no weaker
  return std::rotr(crc, 15) + kMask;
}

EventFile::EventFile(std::unique_ptr<WritableFile> file, double time) : file_(std::move(file)) {
  write_record(begin_event(0, time).bytes(event_proto::kFileVersion, "brain.Event:2").text());
}

void EventFile::scalars(std::int64_t step, double time, std::span<const EventScalar> scalars) {
  if (scalars.empty()) return;
  ProtobufWriter values;
  for (const EventScalar& scalar : scalars) {
    values.message(event_proto::kSummaryValue, ProtobufWriter()
                                                   .bytes(event_proto::kTag, scalar.tag)
                                                   .float32(event_proto::kSimpleValue, static_cast<float>(scalar.value)));
  }
  write_record(begin_event(step, time).message(event_proto::kSummary, values).text());
}

void EventFile::text(std::int64_t step, double time, std::string_view tag, std::string_view text) {
  ProtobufWriter one;
  one.bytes(event_proto::kTag, tag)
      .message(event_proto::kTensor, vector_tensor(event_proto::kStringType, 1).bytes(event_proto::kStringValue, text))
      .message(event_proto::kMetadata, plugin_metadata("text"));
  write_record(
      begin_event(step, time).message(event_proto::kSummary, ProtobufWriter().message(event_proto::kSummaryValue, one)).text());
}

void EventFile::hyperparameters(double time, std::span<const Hyperparameter> values) {
  ProtobufWriter start;
  for (const Hyperparameter& parameter : values) {
    start.message(
        event_proto::kHparams,
        ProtobufWriter().bytes(event_proto::kMapKey, parameter.name).message(event_proto::kMapValue, hparam_value(parameter)));
  }
  start.float64(event_proto::kStartTime, time);
  const ProtobufWriter content =
      ProtobufWriter().integer(event_proto::kHparamsVersion, 0).message(event_proto::kSessionStart, start);
  ProtobufWriter one;
  // A tensor without elements: some readers pass over a value that has none at all.
  one.bytes(event_proto::kTag, "_hparams_/session_start_info")
      .message(event_proto::kTensor, vector_tensor(event_proto::kFloatType, 0))
      .message(event_proto::kMetadata, plugin_metadata("hparams", content.text()));
  write_record(
      begin_event(0, time).message(event_proto::kSummary, ProtobufWriter().message(event_proto::kSummaryValue, one)).text());
}

void EventFile::write_record(std::string_view event) {
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(event.size()));
  append_little_endian(record, masked_crc32c(record));
  record += event;
  append_little_endian(record, masked_crc32c(event));
  file_->append(std::as_bytes(std::span(record)));
}

}  // namespace virgil
