// Where tokens go as they are made: into memory, or into token files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/data/token_file.h"
#include "virgil/data/token_sequence.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

class TokenSink {
 public:
  virtual ~TokenSink() = default;
  /// Appends ids that stand for `text_bytes` bytes of text.
  virtual void add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) = 0;
};

class MemorySink final : public TokenSink {
 public:
  void add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) override;
  [[nodiscard]] std::vector<std::int32_t> take() { return std::move(tokens_); }
  [[nodiscard]] std::int64_t text_bytes() const { return text_bytes_; }

 private:
  std::vector<std::int32_t> tokens_;
  std::int64_t text_bytes_ = 0;
};

struct ShardOptions {
  TokenFileFormat format = TokenFileFormat::kVirgil;
  std::size_t tokens = std::size_t{1} << 24;  // ids in each but the last, held in memory until it is written
};

/// Writes "<prefix>-00000.bin" and so on into a folder, which it makes. Holds references, which must outlive it.
class ShardSink final : public TokenSink {
 public:
  ShardSink(FileSystem& files, std::filesystem::path folder, std::string prefix, const Tokenizer& tokenizer,
            ShardOptions options = {});
  void add(std::vector<std::int32_t> tokens, std::int64_t text_bytes) override;
  /// Writes what is left and names the files; call once.
  [[nodiscard]] std::vector<std::string> finish();

 private:
  void write_shard(std::size_t num_tokens);

  FileSystem& files_;
  std::filesystem::path folder_;
  std::string prefix_;
  const Tokenizer& tokenizer_;
  ShardOptions options_;
  std::vector<std::int32_t> tokens_;
  std::int64_t text_bytes_ = 0;
  std::vector<std::string> names_;
};

}  // namespace virgil
