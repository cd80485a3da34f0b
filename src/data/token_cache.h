// Tokenised texts kept on disk. Format: docs/data.md.
//
// An entry is a folder named by the SHA-256 of what its tokens follow from. It holds token files and index.json:
//   {"format": "virgil-token-cache", "version": 1,
//    "train": {"files": ["train-00000.bin", ...], "fingerprint": "..."}, "val": {...}}
// It is written under another name and renamed when whole.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "virgil/base/file_system.h"
#include "virgil/data/dataset.h"
#include "virgil/data/token_sink.h"

namespace virgil {

class TokenCache {
 public:
  struct Entry {
    TokenData train;
    TokenData val;  // may be empty
  };
  /// Puts the tokens of both parts into the sinks.
  using Fill = std::function<void(TokenSink& train, TokenSink& val)>;

  /// `files` must outlive the cache; `progress` watches reading and hashing.
  TokenCache(FileSystem& files, std::filesystem::path directory, ProgressMonitor* progress = nullptr);

  /// The entry of this key, verified; nothing when there is none. Throws UserError when it is damaged.
  [[nodiscard]] std::optional<Entry> find(const std::string& key, const Tokenizer& tokenizer) const;
  /// Makes the entry by `fill`, and reads it back. Throws UserError when it cannot be written.
  [[nodiscard]] Entry make(const std::string& key, const Tokenizer& tokenizer, const Fill& fill) const;
  [[nodiscard]] std::filesystem::path folder_of(const std::string& key) const { return directory_ / key; }

 private:
  void remove_leftovers(const std::string& key) const;

  FileSystem& files_;
  std::filesystem::path directory_;
  ProgressMonitor* progress_;
};

}  // namespace virgil
