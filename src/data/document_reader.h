// The documents of a file: one of plain text, those between its end-of-text marks, or the records of JSON lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "data/json_lines.h"
#include "virgil/base/logging.h"
#include "virgil/data/end_of_text.h"
#include "virgil/data/text_reader.h"

namespace virgil {

/// The spelling of the tokenizer's end of text, and whether it ends a document where it stands in a text.
struct EndMark {
  std::string text;  // empty: the tokenizer has none
  bool splits = false;
};

/// A part of a document, cut where every tokenizer has a boundary.
struct DocumentPiece {
  std::string_view text;      // valid until the next call
  std::int64_t num_ends = 0;  // of documents, between the piece before and this one
};

/// Reads a file piece by piece. JSON lines are recognised by their content: each record is a document, and the text of its
/// field is all that is read of it. A mark that splits ends a document, and is no part of the text; others are text like any
/// other. Marks at the start or the end of a file or record stand for that border, so none is counted twice.
class DocumentReader {
 public:
  /// Throws UserError as TextReader, and on a file that is one JSON array.
  DocumentReader(const std::filesystem::path& path, const TextOptions& options, EndMark mark,
                 std::int64_t chunk_bytes = TextReader::kDefaultChunkBytes);

  /// The next piece, which is not empty; false at the end. Throws UserError on a line that cannot be read, naming it.
  [[nodiscard]] bool next(DocumentPiece& piece);

  // Complete once next() has returned false.
  /// Ends of documents behind the last piece.
  [[nodiscard]] std::int64_t num_ends_left() const { return ends_; }
  /// Marks found, whether they split the text or not.
  [[nodiscard]] std::int64_t num_marks() const { return num_marks_; }
  /// What other tokenizers end documents with, and was left in the text.
  [[nodiscard]] const MarkCounts& other_marks() const { return other_marks_; }
  /// With a text that is more than white space.
  [[nodiscard]] std::int64_t num_documents() const { return num_documents_; }
  /// Says through `log` what was found and changed, one line for each.
  void log_report(Logger& log) const;

 private:
  [[nodiscard]] bool next_text();
  [[nodiscard]] bool next_record();
  void note(std::string_view text);

  std::filesystem::path path_;
  EndMark mark_;
  TextReader reader_;
  std::optional<JsonLines> lines_;
  bool is_json_document_ = false;
  std::string chunk_;           // of the file
  std::size_t line_begin_ = 0;  // in chunk_, with JSON lines
  bool at_end_ = false;         // nothing follows chunk_
  std::string record_;          // the text of a line
  std::string_view rest_;       // what has been read and not given out
  std::int64_t ends_ = 0;       // since the last piece
  bool border_ = false;         // one of them is the end of a record, which a mark beside it stands for as well
  bool has_text_ = false;       // the current document is counted
  bool has_piece_ = false;      // one has been given out
  std::int64_t num_records_ = 0;
  std::int64_t num_empty_ = 0;
  std::int64_t num_marks_ = 0;
  MarkCounts other_marks_;
  std::int64_t num_documents_ = 0;
};

}  // namespace virgil
