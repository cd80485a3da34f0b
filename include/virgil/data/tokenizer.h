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
  /// Every byte string encodes, and decode(encode(x)) == x, but for tokenizers from elsewhere that change the text (a space put
  /// before it, Unicode composition) or that have no id for some bytes (see caveat).
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// Bytes of the tokens, which may end inside a UTF-8 character. Throws UserError on an id outside the vocabulary.
  [[nodiscard]] virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;
  /// The id that ends a document, or -1 when the vocabulary has none.
  [[nodiscard]] virtual std::int32_t end_of_text() const = 0;
  /// Ids from this one on are halves of bytes, which spell characters that have no id of their own; -1 when there are none.
  [[nodiscard]] virtual std::int32_t first_half_byte() const { return -1; }
  /// What of a text is lost in the ids, in words for a warning; empty where nothing is.
  [[nodiscard]] virtual std::string caveat() const { return {}; }
  /// Files that make this tokenizer again, and that transformers opens, by file name (put into every checkpoint);
  /// load_tokenizer reads them back.
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

/// Whether a folder carries a tokenizer itself (a run's folder does not, its checkpoints do).
[[nodiscard]] bool holds_tokenizer(const std::filesystem::path& directory);
/// Reads the tokenizer that a folder carries: a checkpoint, a run with checkpoints, or a folder of Hugging Face's. Throws
/// UserError when it has none or it is damaged.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);
/// Reads one file: tokenizer.virgil.json, or a Hugging Face tokenizer.json that holds a byte-level BPE (docs/tokenizers.md says
/// which), or vocab.json with the merges.txt beside it. The files beside it may say which token ends a document.
[[nodiscard]] std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& path);

}  // namespace virgil
