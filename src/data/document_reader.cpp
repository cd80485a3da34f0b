#include "data/document_reader.h"

#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/shell_quote.h"

namespace virgil {
namespace {

constexpr std::string_view kNoField = "none";
constexpr std::size_t kLongestLine = std::size_t{1} << 28;

UserError json_array(const std::filesystem::path& path) {
  const std::string file = shell_quote(path.string());
  const std::string lines = shell_quote(std::filesystem::path(path).replace_extension(".jsonl").string());
  return user_error(
      "{}: is one JSON array, which would have to be held in memory as a whole; make JSON lines of it: jq -c '.[]' {} > {} (or "
      "--text_field none to read it as plain text)",
      path.string(), file, lines);
}

}  // namespace

DocumentReader::DocumentReader(const std::filesystem::path& path, const TextOptions& options, EndMark mark,
                               std::int64_t chunk_bytes)
    : path_(path), mark_(std::move(mark)), reader_(path, options, chunk_bytes) {
  at_end_ = !reader_.next(chunk_);
  if (options.text_field != kNoField) {
    if (looks_like_json_array(chunk_)) throw json_array(path);
    if (looks_like_json_lines(chunk_)) {
      lines_.emplace(path, options.text_field);
      return;
    }
    is_json_document_ = looks_like_json_object(chunk_);
  }
  rest_ = chunk_;
}

bool DocumentReader::next(DocumentPiece& piece) {
  for (;;) {
    if (rest_.empty() && !(lines_ ? next_record() : next_text())) return false;
    const std::size_t mark = mark_.splits ? rest_.find(mark_.text) : rest_.npos;
    if (mark != 0) {
      const std::size_t length = mark != rest_.npos ? mark : rest_.size();
      piece = {rest_.substr(0, length), std::exchange(ends_, 0)};
      rest_.remove_prefix(length);
      border_ = false;
      if (piece.num_ends > 0) has_text_ = false;
      note(piece.text);
      return true;
    }
    ++num_marks_;
    rest_.remove_prefix(mark_.text.size());
    if (!std::exchange(border_, false)) ++ends_;
  }
}

void DocumentReader::note(std::string_view text) {
  has_piece_ = true;
  if (!has_text_ && text.find_first_not_of(" \t\n\r\f\v") != text.npos) {
    has_text_ = true;
    ++num_documents_;
  }
  count_known_marks(text, other_marks_);
  if (mark_.splits || mark_.text.empty()) return;
  other_marks_.erase(mark_.text);
  for (std::size_t at = text.find(mark_.text); at != text.npos; at = text.find(mark_.text, at + 1)) ++num_marks_;
}

bool DocumentReader::next_text() {
  if (at_end_) return false;
  at_end_ = !reader_.next(chunk_);
  rest_ = chunk_;
  return !at_end_;
}

bool DocumentReader::next_record() {
  for (;;) {
    std::size_t end = chunk_.find('\n', line_begin_);
    while (end == chunk_.npos && !at_end_) {
      chunk_.erase(0, line_begin_);
      line_begin_ = 0;
      if (chunk_.size() > kLongestLine) {
        throw user_error("{}: line {} is longer than {} bytes; split the record, or give --text_field none to read plain text",
                         path_.string(), lines_->line() + 1, kLongestLine);
      }
      const std::size_t searched = chunk_.size();
      std::string more;
      at_end_ = !reader_.next(more);
      chunk_ += more;
      end = chunk_.find('\n', searched);
    }
    if (end == chunk_.npos && line_begin_ >= chunk_.size()) return false;
    const std::string_view line = std::string_view(chunk_).substr(line_begin_, end == chunk_.npos ? end : end - line_begin_);
    line_begin_ = end == chunk_.npos ? chunk_.size() : end + 1;
    if (line.find_first_not_of(" \t\r") == line.npos) {
      lines_->skip_line();
      continue;
    }
    lines_->read_line(line, record_);
    ++num_records_;
    if (record_.empty()) {
      ++num_empty_;
      continue;
    }
    // A mark at the end of the record before has ended it already.
    if (has_piece_ && ends_ == 0) ends_ = 1;
    border_ = ends_ > 0;
    rest_ = record_;
    return true;
  }
}

void DocumentReader::log_report(Logger& log) const {
  log_text_report(reader_.report(), path_, log);
  const std::string path = path_.string();
  if (is_json_document_)
    log.warn(fmt::format("{}: is one JSON document and is read as it is, with its braces and quotes", path));
  if (!lines_) return;
  log.info(fmt::format("{}: read as JSON lines: {} records{}", path, format_count(num_records_),
                       num_empty_ == 0 ? "" : fmt::format(", {} of them without a text", format_count(num_empty_))));
  if (lines_->num_replaced() == 0) return;
  log.warn(fmt::format("{}: {} halves of surrogate pairs and bytes that are not UTF-8 became U+FFFD", path,
                       format_count(lines_->num_replaced())));
}

}  // namespace virgil
