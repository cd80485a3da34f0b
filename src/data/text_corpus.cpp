#include "data/text_corpus.h"

#include <fmt/format.h>

#include <omp.h>

#include <algorithm>
#include <span>
#include <utility>

#include "data/file_bytes.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

/// Enough for all threads to work side by side, and little enough that nobody waits for the end of a piece.
std::int64_t piece_bytes() {
  constexpr std::int64_t kBytesPerThread = std::int64_t{1} << 20;
  return std::min(TextReader::kDefaultChunkBytes, omp_get_max_threads() * kBytesPerThread);
}

}  // namespace

TextCorpus::TextCorpus(std::vector<std::filesystem::path> files, TextOptions options, Logger& log, ProgressMonitor* progress)
    : files_(std::move(files)), options_(options) {
  ProgressPhase phase(progress, "reading", "bytes", file_bytes(files_));
  Sha256 hash;
  std::string piece;
  std::string boundaries;
  for (const std::filesystem::path& file : files_) {
    TextReader reader(file, options_, piece_bytes());
    while (reader.next(piece)) {
      hash.update(std::as_bytes(std::span(piece)));
      num_bytes_ += static_cast<std::int64_t>(piece.size());
      phase.advance(std::ssize(piece));
    }
    log_text_report(reader.report(), file, log);
    boundaries += fmt::format(" {}", num_bytes_);
  }
  fingerprint_ = sha256_hex(hash.finish() + boundaries);
}

void TextCorpus::for_each_piece(const Visit& visit) const {
  std::int64_t num_bytes = 0;
  std::string piece;
  for (std::size_t document = 0; document < files_.size(); ++document) {
    TextReader reader(files_[document], options_, piece_bytes());
    while (reader.next(piece)) {
      num_bytes += static_cast<std::int64_t>(piece.size());
      visit(piece, static_cast<std::int64_t>(document));
    }
  }
  if (num_bytes == num_bytes_) return;
  throw user_error("{}{}: changed while it was read; start again", files_.front().string(),
                   files_.size() > 1 ? " and others" : "");
}

}  // namespace virgil
