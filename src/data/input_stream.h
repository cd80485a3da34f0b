// The bytes of a file as they were before gzip compressed them, or as they are.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace virgil {

class InputStream {
 public:
  virtual ~InputStream() = default;
  /// Fills `out` as far as there are bytes, and says how far: less than asked for only at the end. Throws UserError.
  [[nodiscard]] virtual std::size_t read(std::span<char> out) = 0;
  [[nodiscard]] virtual bool is_compressed() const = 0;
};

/// Opens a regular file. One that begins as gzip's do, whatever its name, is unpacked as it is read (RFC 1952; several members
/// one after the other are one text), in memory that does not grow with it. Throws UserError as InputFile, and while reading on
/// data that is damaged or cut.
[[nodiscard]] std::unique_ptr<InputStream> open_input_stream(const std::filesystem::path& path);

}  // namespace virgil
