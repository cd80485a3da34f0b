// Several text files as one long text that need not fit into memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/data/text_reader.h"

namespace virgil {

class TextCorpus {
 public:
  /// Reads all files once: to measure and hash them, and to say through `log` what was converted. Throws UserError as
  /// TextReader, Stopped.
  TextCorpus(std::vector<std::filesystem::path> files, TextOptions options, Logger& log, ProgressMonitor* progress = nullptr);

  [[nodiscard]] std::int64_t num_bytes() const { return num_bytes_; }
  [[nodiscard]] std::int64_t num_documents() const { return static_cast<std::int64_t>(files_.size()); }
  /// SHA-256 (hex) of the converted texts and where one ends and the next begins.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

  /// Calls `visit` for every piece, in order, with the number of its document.
  using Visit = std::function<void(std::string_view piece, std::int64_t document)>;
  /// Reads the files again. Pieces are short enough that work on one takes a fraction of a second. Throws UserError when they
  /// have changed in size since.
  void for_each_piece(const Visit& visit) const;

 private:
  std::vector<std::filesystem::path> files_;
  TextOptions options_;
  std::int64_t num_bytes_ = 0;
  std::string fingerprint_;
};

}  // namespace virgil
