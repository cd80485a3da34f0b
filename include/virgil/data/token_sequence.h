// Token ids wherever they lie: in memory, or in memory-mapped files larger than memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/progress.h"

namespace virgil {

/// An immutable sequence of ids, made of segments of 16, 32 or 64-bit ids that are read as one. Copies are cheap and share what
/// the segments own; const calls are safe from many threads.
class TokenSequence {
 public:
  TokenSequence() = default;
  /// A view, which the ids must outlive.
  TokenSequence(std::span<const std::int32_t> tokens);     // NOLINT(google-explicit-constructor)
  TokenSequence(const std::vector<std::int32_t>& tokens);  // NOLINT(google-explicit-constructor)
  /// Owns the ids.
  TokenSequence(std::vector<std::int32_t>&& tokens);  // NOLINT(google-explicit-constructor)
  /// `num_tokens` little-endian ids of `token_bytes` (2, 4 or 8) each from byte `offset` of a file, a multiple of token_bytes.
  /// An id beyond 31 bits reads as -1. Throws InternalError when the file is too short for that.
  TokenSequence(std::shared_ptr<const MappedFile> file, std::size_t offset, std::size_t num_tokens, int token_bytes);

  [[nodiscard]] std::size_t size() const { return segments_.empty() ? 0 : segments_.back().end; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// index < size().
  [[nodiscard]] std::int32_t operator[](std::size_t index) const;
  /// Ids first .. first + out.size() - 1. Throws InternalError beyond the end.
  void copy(std::size_t first, std::span<std::int32_t> out) const;
  /// Ids first .. first + count - 1, sharing their memory. Throws InternalError beyond the end.
  [[nodiscard]] TokenSequence slice(std::size_t first, std::size_t count) const;
  /// The id as the file holds it, however wide. index < size().
  [[nodiscard]] std::uint64_t stored_id(std::size_t index) const;
  /// The mapped files that have been written to since they were mapped, each once.
  [[nodiscard]] std::vector<std::filesystem::path> written_files() const;
  /// Puts another sequence after this one.
  void append(const TokenSequence& other);

 private:
  struct Segment {
    std::shared_ptr<const void> owner;  // null: a view
    const MappedFile* file;             // the owner, where it is one
    const std::byte* data;
    std::size_t begin;  // index of its first id in the sequence
    std::size_t end;
    int token_bytes;
  };

  [[nodiscard]] const Segment& segment_of(std::size_t index) const;
  /// A segment's owner, file, width; its begin and end follow from `count` and what is there.
  void add(Segment segment, std::size_t count);

  std::vector<Segment> segments_;  // none is empty
};

/// SHA-256 (hex) of the ids as 32-bit little-endian numbers: the same however they are stored.
[[nodiscard]] std::string fingerprint_of(const TokenSequence& tokens, ProgressMonitor* progress = nullptr);

}  // namespace virgil
