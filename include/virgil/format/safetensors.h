// Hugging Face safetensors (format of safetensors 0.4: u64 header length, JSON header, tensor bytes).
//
// Reading treats the file as untrusted: lengths, offsets, overlaps, gaps, overflow, JSON depth and duplicate names are checked
// before any byte is used. Writing streams: a tensor's bytes are asked for in pieces, so no second copy of a model exists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/file_system.h"
#include "virgil/base/shape.h"

namespace virgil {

/// A tensor to be written. `read` fills `dst` with the bytes that start at `offset_bytes` of the tensor.
struct TensorSource {
  std::string name;
  DType dtype = DType::kFloat32;
  Shape shape;
  std::function<void(std::span<std::byte> dst, std::int64_t offset_bytes)> read;
};

/// "F32", "BF16", "F16" or "I32".
[[nodiscard]] std::string_view safetensors_name(DType dtype);

/// What was written, as a checkpoint records it.
struct WrittenFile {
  std::string sha256;  // hex
  std::int64_t size_bytes = 0;
};

/// Writes and makes durable `path` (not atomic: the caller writes into a directory that is renamed into place). Tensors stand
/// in the order given. Throws UserError on I/O errors, InternalError on a name used twice.
WrittenFile write_safetensors(FileSystem& files, const std::filesystem::path& path, std::span<const TensorSource> tensors,
                              const std::map<std::string, std::string>& metadata);

/// A validated, memory-mapped safetensors file. Views live as long as this object.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    std::string dtype_name;            // as in the file: "F32", "BF16", "I64" ...
    Shape shape;                       // files may hold ranks above Shape::kMaxRank: refused with a UserError
    std::span<const std::byte> bytes;  // little-endian, and not always aligned to the element: copy, do not cast
  };
  /// Throws UserError naming the file and the defect.
  explicit SafetensorsFile(const std::filesystem::path& path);
  explicit SafetensorsFile(MappedFile file);

  /// In the order of their bytes in the file.
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  /// nullptr when there is no such tensor.
  [[nodiscard]] const Entry* find(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
};

/// Parses a file held in memory; exposed for fuzzing. `file_bytes` is the whole file, which the entries view. Throws UserError.
[[nodiscard]] std::vector<SafetensorsFile::Entry> parse_safetensors(std::span<const std::byte> file_bytes,
                                                                    std::map<std::string, std::string>& metadata,
                                                                    const std::string& file_name);

}  // namespace virgil
