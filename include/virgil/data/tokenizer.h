// Text to token ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace virgil {

/// Immutable once made; const calls are safe from many threads. Token ids are 0 .. vocab_size() - 1.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// The name users write in `tokenizer`: "byte", "char", "gpt2", "bpe:4096".
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::int64_t vocab_size() const = 0;
  /// Every byte string encodes, and decode(encode(x)) == x.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// Bytes of the tokens, which may end inside a UTF-8 character. Throws UserError on an id outside the vocabulary.
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;
  /// The id that ends a document, or -1 when the vocabulary has none.
  [[nodiscard]] virtual std::int32_t end_of_text() const = 0;
  /// Ids from this one on are halves of bytes, which spell characters that have no id of their own; -1 when there are none.
  [[nodiscard]] virtual std::int32_t first_half_byte() const { return -1; }
  /// Files that make this tokenizer again, by file name (put into every checkpoint); load_tokenizer reads them back.
  struct File {
    std::string name;
    std::string content;
  };
  [[nodiscard]] virtual std::vector<File> files() const = 0;
  /// SHA-256 (hex) of what the ids mean: equal exactly when two tokenizers are the same mapping.
  [[nodiscard]] virtual std::string fingerprint() const = 0;
};

/// Makes the tokenizer that `spec` names: byte, char, gpt2, bpe:<number of ids>, or the path of a tokenizer file or of a folder
/// that holds one. "char" and "bpe" learn from `training_text`. Throws UserError on an unknown spec, naming the nearest known
/// one, and where GPT-2's vocabulary has not been fetched.
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(std::string_view spec, std::string_view training_text);

/// Reads the tokenizer a checkpoint directory carries. Throws UserError when it has none or it is damaged.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);
/// Reads one file: tokenizer.virgil.json, or a Hugging Face tokenizer.json that holds a byte-level BPE as GPT-2's.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& path);

}  // namespace virgil
