// Several text files as one long text that need not fit into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document_reader.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/data/text_reader.h"

namespace virgil {

class TextCorpus {
 public:
  /// Reads all files once: to measure and hash them, and to say through `log` what was converted. The mark is as for
  /// DocumentReader. Throws UserError as DocumentReader, Stopped.
  TextCorpus(std::vector<std::filesystem::path> files, TextOptions options, EndMark mark, Logger& log,
             ProgressMonitor* progress = nullptr);

  /// Of the texts, without what stands between documents.
  [[nodiscard]] std::int64_t num_bytes() const { return num_bytes_; }
  [[nodiscard]] std::int64_t num_documents() const { return num_documents_; }
  /// How often the mark stands in the files, and what other tokenizers end documents with.
  [[nodiscard]] std::int64_t num_marks() const { return num_marks_; }
  [[nodiscard]] const MarkCounts& other_marks() const { return other_marks_; }
  /// SHA-256 (hex) of the converted texts and where one ends and the next begins.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

  /// Part of one file.
  struct Piece {
    std::string_view text;
    std::int64_t num_ends = 0;  // of documents, before it
    std::size_t file = 0;       // its place among the files
  };
  /// Calls `visit` for every piece, in order; at last, where documents end behind the last piece, with an empty one.
  using Visit = std::function<void(const Piece& piece)>;
  /// Reads the files again. Pieces are short enough that work on one takes a fraction of a second, but for the longest records
  /// of JSON lines. Throws UserError when they have changed in size since.
  void for_each_piece(const Visit& visit) const;

 private:
  /// Called with the reader of a file that has been read.
  using Finish = std::function<void(const DocumentReader& reader)>;
  void read(const Visit& visit, const Finish& finish) const;

  std::vector<std::filesystem::path> files_;
  TextOptions options_;
  EndMark mark_;
  std::int64_t num_bytes_ = 0;
  std::int64_t num_documents_ = 0;
  std::int64_t num_marks_ = 0;
  MarkCounts other_marks_;
  std::string fingerprint_;
};

}  // namespace virgil
