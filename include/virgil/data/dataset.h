// The tokens a run trains and evaluates on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/data/text_reader.h"
#include "virgil/data/token_file.h"
#include "virgil/data/token_sequence.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

/// Cuts the last `fraction` of a text off at a UTF-8 character boundary. The cut is in bytes of the text, so it does not depend
/// on the tokenizer.
struct TextSplit {
  std::string_view train;
  std::string_view val;
};
/// `val_fraction` is in [0, 1); throws UserError otherwise.
[[nodiscard]] TextSplit split_text(std::string_view text, double val_fraction);

/// Token ids with what is needed to speak of them.
struct TokenData {
  TokenSequence tokens;
  std::int64_t text_bytes = 0;  // bytes of the text the tokens stand for
  /// fingerprint_of(tokens).
  std::string fingerprint;
};
[[nodiscard]] TokenData tokenize(const Tokenizer& tokenizer, std::string_view text);

/// What to read. Inputs are files, folders or patterns (see expand_inputs); all are texts, or all are token files of one
/// format.
struct DataRequest {
  std::vector<std::string> inputs{};
  std::vector<std::string> val_inputs{};  // empty: the last val_fraction of the inputs is held out
  double val_fraction = 0.1;
  std::string tokenizer = "gpt2";  // as for make_tokenizer; "char" and "bpe:<size>" learn from what is trained on
  std::shared_ptr<const Tokenizer> made_tokenizer{};  // takes the place of `tokenizer` where there is one
  TextOptions text{};
  TokenType token_type = TokenType::kAuto;  // of token files without a header
  std::filesystem::path cache_directory{};  // where tokenised texts are kept; empty: in memory only
  std::int64_t cache_min_bytes = 0;         // shorter texts are not kept there
  ProgressMonitor* progress = nullptr;      // watches reading, learning a vocabulary, tokenising and hashing
  bool tell_files = false;                  // fill in Dataset::files; then nothing is held out and no cache is used
};

/// What one file has put into the tokens that all of them are.
struct FileTokens {
  std::filesystem::path path;
  std::int64_t num_tokens = 0;  // with the end of text behind it
  std::int64_t text_bytes = 0;
};

struct Dataset {
  std::shared_ptr<const Tokenizer> tokenizer;
  TokenData train;
  std::optional<TokenData> val;        // none when nothing was held out
  std::int64_t num_documents = 0;      // texts, or files of tokens, among the inputs
  std::int64_t num_val_documents = 0;  // among the val_inputs
  std::string end_mark;                // what the tokenizer's end of text looks like in a text; empty where it has none
  std::int64_t num_marks = 0;          // how often it stands in the texts
  bool marks_split = false;            // and each ends a document there
  bool cached = false;                 // the tokens lie in the cache
  std::vector<FileTokens> files;       // of the inputs, in order, where the request asks for them
};

/// Reads and tokenises the inputs. Between texts stands the tokenizer's end of text, if it has one. Texts are read piece by
/// piece; with a cache their tokens are written to it and mapped, so that neither need fit into memory. An entry of the cache
/// is found by the content of the texts and the tokenizer's fingerprint, is written whole or not at all, and is verified when
/// read.
///
/// Of token files the last val_fraction of the ids is held out; every id is checked against the tokenizer.
///
/// Throws UserError on inputs that cannot be read or do not fit together (texts among token files, formats mixed, another
/// tokenizer's ids), and on a damaged cache entry, naming the file; Stopped when the monitor asks for it, leaving nothing
/// behind.
[[nodiscard]] Dataset load_dataset(const DataRequest& request, FileSystem& files, Logger& log);

}  // namespace virgil
