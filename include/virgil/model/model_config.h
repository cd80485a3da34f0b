// The sizes of a GPT. Validated once, on construction; everything downstream relies on it.
#pragma once

#include <cstdint>

namespace virgil {

/// What a ModelConfig is made from; 0 for d_ff means 4 * embedding_dim.
struct ModelSizes {
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t embedding_dim = 0;  // C
  std::int64_t block_size = 0;     // T, the longest context
  std::int64_t vocab_size = 0;     // V, ids the tokenizer has
  std::int64_t d_ff = 0;           // width of the MLP
  bool bias = false;
  bool tie_weights = true;  // the LM head is the token embedding
  float dropout = 0;
};

/// GPT-2's architecture (pre-layernorm, learned positions, GELU MLP), with or without biases.
class ModelConfig {
 public:
  static constexpr std::int64_t kVocabMultiple = 64;  // rows of the embedding are padded to this
  static constexpr std::int64_t kMaxHeadSize = 128;

  /// Throws UserError naming the key, its value and the remedy for a size that is out of range, does not divide, or overflows.
  explicit ModelConfig(const ModelSizes& sizes);

  [[nodiscard]] std::int64_t num_layers() const { return sizes_.num_layers; }
  [[nodiscard]] std::int64_t num_heads() const { return sizes_.num_heads; }
  [[nodiscard]] std::int64_t embedding_dim() const { return sizes_.embedding_dim; }
  [[nodiscard]] std::int64_t head_size() const { return sizes_.embedding_dim / sizes_.num_heads; }
  [[nodiscard]] std::int64_t block_size() const { return sizes_.block_size; }
  [[nodiscard]] std::int64_t vocab_size() const { return sizes_.vocab_size; }
  /// vocab_size rounded up to kVocabMultiple: rows of wte. Padding rows are zero and stay zero.
  [[nodiscard]] std::int64_t padded_vocab_size() const { return padded_vocab_size_; }
  [[nodiscard]] std::int64_t d_ff() const { return sizes_.d_ff; }
  [[nodiscard]] bool bias() const { return sizes_.bias; }
  [[nodiscard]] bool tie_weights() const { return sizes_.tie_weights; }
  [[nodiscard]] float dropout() const { return sizes_.dropout; }
  [[nodiscard]] const ModelSizes& sizes() const { return sizes_; }

 private:
  ModelSizes sizes_;
  std::int64_t padded_vocab_size_ = 0;
};

}  // namespace virgil
