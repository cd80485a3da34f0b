// TensorBoard's event files: records with a length and two checksums, each holding a message of
// tensorflow/core/util/event.proto.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "virgil/base/file_system.h"

namespace virgil {

/// One value of a step, as it stands under its tag ("loss/train").
struct EventScalar {
  std::string tag;
  double value = 0;  // kept as float32; may be NaN or infinite
};

struct Hyperparameter {
  std::string name;
  std::variant<bool, double, std::string> value;
};

/// Writes events in the order in which they are to be read. Times are Unix seconds. All functions throw UserError when the file
/// cannot be written.
class EventFile {
 public:
  /// `file` is new and empty.
  EventFile(std::unique_ptr<WritableFile> file, double time);

  /// All scalars of a step in one record; nothing where there are none.
  void scalars(std::int64_t step, double time, std::span<const EventScalar> scalars);
  /// TensorBoard shows `text` as Markdown. UTF-8.
  void text(std::int64_t step, double time, std::string_view tag, std::string_view text);
  /// What the run was started with, for the HParams tab.
  void hyperparameters(double time, std::span<const Hyperparameter> values);

  /// Hands what was written to the system, so that a reader sees whole records.
  void flush() { file_->flush(); }
  void sync() { file_->sync(); }

 private:
  void write_record(std::string_view event);

  std::unique_ptr<WritableFile> file_;
};

/// The name of a file that was begun at that time, by which readers order them. `unix_seconds` has at most ten digits.
[[nodiscard]] std::string event_file_name(std::int64_t unix_seconds);
/// The time in such a name; nothing in any other.
[[nodiscard]] std::optional<std::int64_t> event_file_time(std::string_view name);

/// CRC-32C (Castagnoli) of the bytes, rotated and shifted as such records keep it.
[[nodiscard]] std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace virgil
