#include "data/text_corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "data/file_bytes.h"
#include "data/parallel_encode.h"
#include "virgil/base/error.h"
#include "virgil/base/sha256.h"

namespace virgil {
namespace {

/// Enough for all threads to work side by side, and little enough that nobody waits for the end of a piece.
std::int64_t piece_bytes() {
  constexpr std::int64_t kBytesPerThread = std::int64_t{1} << 20;
  return std::min(TextReader::kDefaultChunkBytes, text_threads() * kBytesPerThread);
}

}  // namespace

TextCorpus::TextCorpus(std::vector<std::filesystem::path> files, TextOptions options, EndMark mark, Logger& log,
                       ProgressMonitor* progress)
    : files_(std::move(files)), options_(std::move(options)), mark_(std::move(mark)) {
  ProgressPhase phase(progress, "reading", "bytes", file_bytes(files_));
  Sha256 texts;
  Sha256 ends_inside;  // of files, where there are any
  bool has_ends_inside = false;
  std::string borders;
  bool at_border = false;
  const auto visit = [&](const Piece& piece) {
    const bool is_border = std::exchange(at_border, false) && !piece.text.empty();
    if (piece.num_ends > (is_border ? 1 : 0)) {
      has_ends_inside = true;
      const std::string place = fmt::format(" {} {}", num_bytes_, piece.num_ends);
      ends_inside.update(std::as_bytes(std::span(place)));
    }
    texts.update(std::as_bytes(std::span(piece.text)));
    num_bytes_ += std::ssize(piece.text);
    phase.advance(std::ssize(piece.text));
  };
  const auto finish = [&](const DocumentReader& reader) {
    reader.log_report(log);
    num_documents_ += std::max<std::int64_t>(1, reader.num_documents());
    num_marks_ += reader.num_marks();
    for (const auto& [spelling, count] : reader.other_marks()) other_marks_[spelling] += count;
    borders += fmt::format(" {}", num_bytes_);
    at_border = true;
  };
  read(visit, finish);
  fingerprint_ = sha256_hex(texts.finish() + borders + (has_ends_inside ? ends_inside.finish() : ""));
  if (num_bytes_ == 0) throw user_error("{}: holds no text; give a text to learn from", files_.front().string());
}

void TextCorpus::for_each_piece(const Visit& visit) const {
  std::int64_t num_bytes = 0;
  const auto count = [&](const Piece& piece) {
    num_bytes += std::ssize(piece.text);
    visit(piece);
  };
  read(count, [](const DocumentReader&) {});
  if (num_bytes == num_bytes_) return;
  throw user_error("{}{}: changed while it was read; start again", files_.front().string(),
                   files_.size() > 1 ? " and others" : "");
}

void TextCorpus::read(const Visit& visit, const Finish& finish) const {
  std::int64_t ends = 0;
  bool has_text = false;
  bool at_border = false;  // between two files
  for (std::size_t file = 0; file < files_.size(); ++file) {
    DocumentReader reader(files_[file], options_, mark_, piece_bytes());
    DocumentPiece piece;
    while (reader.next(piece)) {
      // A mark at the end of one file or the start of the next stands for the border between them.
      const bool twice = at_border && ends > 0 && piece.num_ends > 0;
      ends += piece.num_ends - (twice ? 1 : 0);
      if (at_border) ends = std::max<std::int64_t>(ends, 1);
      at_border = false;
      visit({piece.text, std::exchange(ends, 0), file});
      has_text = true;
    }
    ends += reader.num_ends_left();
    at_border = has_text;
    finish(reader);
  }
  if (ends > 0) visit({{}, ends, files_.size() - 1});
}

}  // namespace virgil
