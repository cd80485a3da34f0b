// Token ids on disk. Formats: docs/data.md.
//
// Virgil's own ("shard"), little-endian:
//   0    8  "VIRGILTK"
//   8    4  version, 1
//   12   4  bytes of an id, 2 or 4
//   16   8  number of ids
//   24   8  bytes of the text they stand for
//   32   8  vocabulary size
//   40  64  the tokenizer's fingerprint, hex
//   104 64  SHA-256, hex, of bytes 0 .. 103 and all ids
//   168 88  zero
//   256     ids
// llm.c's: 256 32-bit numbers (20240520, 1, number of ids, zeros), then 16-bit ids; or (20240801, 7, ...), then 32-bit ids.
// nanoGPT's: ids and nothing else, 16 bits wide; with TokenType 32 or 64 bits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "virgil/base/file_system.h"
#include "virgil/base/progress.h"
#include "virgil/data/token_sequence.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

enum class TokenFileFormat { kVirgil, kLlmC, kNanoGpt };
/// "Virgil", "llm.c", "nanoGPT".
[[nodiscard]] const char* name_of(TokenFileFormat format);

/// How wide the ids of a file without a header are. A header knows better.
enum class TokenType { kAuto, kUint16, kUint32, kUint64 };
/// "auto", "uint16", "uint32" or "uint64". Throws UserError on another name.
[[nodiscard]] TokenType parse_token_type(const std::string& name);

/// What a file says of itself. llm.c's and nanoGPT's do not know their tokenizer.
struct TokenFileInfo {
  TokenFileFormat format = TokenFileFormat::kVirgil;
  std::int64_t num_tokens = 0;
  int token_bytes = 2;
  std::int64_t offset = 0;            // of the first id
  std::int64_t text_bytes = -1;       // -1: not known
  std::int64_t vocab_size = 0;        // 0: not known
  std::string tokenizer_fingerprint;  // empty: not known
  std::string sha256;                 // empty: none
};

struct TokenFile {
  TokenFileInfo info;
  TokenSequence tokens;
};

/// Maps a file of any of the formats as untrusted input. Throws UserError naming the defect: an unknown version, a length that
/// is not the header's, an SHA-256 that does not match (all ids are read for it). A file without a header is taken for what
/// `type` says; with kAuto its ids are 16 bits wide, and it is refused where it looks like something else: wider ids, a text,
/// an array of NumPy, an archive. `phase`, in bytes, advances by what is read.
[[nodiscard]] TokenFile open_token_file(const std::filesystem::path& path, TokenType type = TokenType::kAuto,
                                        ProgressPhase* phase = nullptr);

/// Whether a file begins as Virgil's and llm.c's token files do. Throws UserError when it cannot be read.
[[nodiscard]] bool begins_as_token_file(const std::filesystem::path& path);

/// Throws UserError naming the first id at or above `vocab_size`, its number and its place in the file.
void check_token_file_ids(const TokenFile& file, std::int64_t vocab_size, const std::filesystem::path& path,
                          ProgressPhase* phase = nullptr);

/// Writes ids of `tokenizer` atomically. 16-bit ids where the vocabulary allows. Throws UserError when it cannot be written, or
/// when the format holds 16-bit ids only and the vocabulary is larger, or more ids than its header can count.
void write_token_file(FileSystem& files, const std::filesystem::path& path, TokenFileFormat format, const Tokenizer& tokenizer,
                      std::span<const std::int32_t> tokens, std::int64_t text_bytes);

}  // namespace virgil
