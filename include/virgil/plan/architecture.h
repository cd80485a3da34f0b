// The shape of a decoder-only transformer, wider than what Virgil trains: everything that counting must know about the GPT,
// Llama and Mistral families.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "virgil/model/model_config.h"

namespace virgil {

enum class PositionKind : std::uint8_t { kLearned, kRotary };  // rotary (Su et al. 2021) has no parameters
enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };
enum class MlpKind : std::uint8_t { kGelu, kSwiGlu };  // SwiGLU (Shazeer 2020) has three matrices instead of two

/// learned | rotary, layernorm | rmsnorm, gelu | swiglu. The parsers throw UserError on anything else.
[[nodiscard]] std::string_view name_of(PositionKind kind);
[[nodiscard]] std::string_view name_of(NormKind kind);
[[nodiscard]] std::string_view name_of(MlpKind kind);
[[nodiscard]] PositionKind parse_position(std::string_view name);
[[nodiscard]] NormKind parse_norm(std::string_view name);
[[nodiscard]] MlpKind parse_mlp(std::string_view name);

/// Sizes and kinds of one model. Made complete and checked by checked().
struct ArchitectureSpec {
  std::string name = {};  // for people: "gpt2-xl", "configs/tiny.json"
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;     // query heads
  std::int64_t num_kv_heads = 0;  // key and value heads (grouped-query attention, Ainslie et al. 2023); 0: num_heads
  std::int64_t head_size = 0;     // 0: embedding_dim / num_heads
  std::int64_t embedding_dim = 0;
  std::int64_t d_ff = 0;        // width of the MLP; 0: 4 * embedding_dim
  std::int64_t block_size = 0;  // longest context
  std::int64_t vocab_size = 0;
  std::int64_t vocab_multiple = 1;  // rows of the embedding are padded to a multiple of this
  PositionKind position = PositionKind::kLearned;
  NormKind norm = NormKind::kLayerNorm;
  MlpKind mlp = MlpKind::kGelu;
  bool qkv_bias = false;
  bool projection_bias = false;  // of attention's output
  bool mlp_bias = false;
  bool norm_bias = false;
  bool tie_weights = true;

  [[nodiscard]] std::int64_t query_width() const { return num_heads * head_size; }
  [[nodiscard]] std::int64_t key_value_width() const { return num_kv_heads * head_size; }
  [[nodiscard]] std::int64_t padded_vocab_size() const;
  friend bool operator==(const ArchitectureSpec&, const ArchitectureSpec&) = default;
};

/// `spec` with what 0 stands for filled in. Throws UserError naming the size, its value and the remedy.
[[nodiscard]] ArchitectureSpec checked(ArchitectureSpec spec);

/// Virgil's own model.
[[nodiscard]] ArchitectureSpec architecture_of(const ModelConfig& config, std::string name);

/// The sizes with which Virgil trains this architecture, or why it does not.
[[nodiscard]] std::variant<ModelSizes, std::string> trainable_sizes(const ArchitectureSpec& spec, float dropout);

}  // namespace virgil
