// What the program `tokenize` does.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/data/dataset.h"
#include "virgil/data/token_file.h"

namespace virgil {

struct TokenizeRequest {
  DataRequest data{.val_fraction = 0.0};  // what to read, unless `text` is given; its cache is not used
  std::optional<std::string> text{};      // tokenised itself
  std::string output{};                   // folder of token files to be made; empty: none
  TokenFileFormat format = TokenFileFormat::kVirgil;
  std::int64_t shard_tokens = std::int64_t{1} << 24;  // ids in each token file but the last
  std::string save_tokenizer{};                       // folder for the tokenizer's files; empty: not saved
  bool inspect = false;                               // show the first tokens
  std::int64_t inspect_tokens = 200;
  std::int64_t top = 10;  // longest and most frequent tokens to list
  bool json = false;
};

/// Makes or loads the tokenizer, tokenises the inputs piece by piece (or reads token files), and writes statistics to `out`: a
/// few lines, or with `json` one object (docs/tokenizers.md).
///
/// The output folder, which must be absent or empty, appears whole or not at all. It holds train/train-00000.bin and so on,
/// val/val-00000.bin where something is held out, and the tokenizer's files.
///
/// Throws UserError on what load_dataset refuses, on folders that hold something already, and when writing fails.
void run_tokenize(const TokenizeRequest& request, FileSystem& files, std::ostream& out, Logger& log);

/// "virgil", "llm.c" or "nanogpt". Throws UserError on another name.
[[nodiscard]] TokenFileFormat parse_token_file_format(const std::string& name);

/// The program: reads flags, and computes on the process's streams. Gives the exit code; throws as run_tokenize does,
/// UserError, or HelpShown (program.h).
[[nodiscard]] int tokenize_program(const std::vector<std::string>& arguments);

}  // namespace virgil
