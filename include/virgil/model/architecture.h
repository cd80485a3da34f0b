// The shape of a decoder-only transformer: everything that its parameters, its calls and its files follow from. Wider than what
// Virgil trains, so that GPT, Llama and Mistral models can be counted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/model/rotary_settings.h"

namespace virgil {

inline constexpr std::int64_t kVocabMultiple = 64;  // rows of a trained model's embedding are padded to this
inline constexpr std::int64_t kMaxHeadSize = 128;   // that attention takes

enum class PositionKind : std::uint8_t { kLearned, kRotary };  // rotary (Su et al. 2021) has no parameters
enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };
enum class MlpKind : std::uint8_t {
  kGelu,
  kReluSquared,  // So et al. 2021
  kSwiGlu,       // Shazeer 2020; three matrices instead of two
  kGeGlu,        // the same with GELU
};
[[nodiscard]] constexpr bool is_gated(MlpKind kind) { return kind == MlpKind::kSwiGlu || kind == MlpKind::kGeGlu; }

/// learned | rotary, layernorm | rmsnorm, gelu | relu2 | swiglu | geglu. The parsers throw UserError on anything else.
[[nodiscard]] std::string_view name_of(PositionKind kind);
[[nodiscard]] std::string_view name_of(NormKind kind);
[[nodiscard]] std::string_view name_of(MlpKind kind);
[[nodiscard]] PositionKind parse_position(std::string_view name);
[[nodiscard]] NormKind parse_norm(std::string_view name);
[[nodiscard]] MlpKind parse_mlp(std::string_view name);

struct Family;
extern const Family kGpt2Family;

/// Which modules have one.
struct Biases {
  bool qkv = false;
  bool projection = false;  // of attention's output
  bool mlp = false;
  bool norm = false;  // RMSNorm has none

  [[nodiscard]] bool all() const { return qkv && projection && mlp && norm; }
  [[nodiscard]] static constexpr Biases everywhere(bool present) { return {present, present, present, present}; }
  friend bool operator==(const Biases&, const Biases&) = default;
};
inline constexpr Biases kAllBiases = Biases::everywhere(true);

/// Sizes and kinds of one model. Made complete by checked() or trainable(); everything downstream relies on it.
struct Architecture {
  std::string name = {};                // for people: "gpt2-xl", "configs/tiny.json"
  const Family* family = &kGpt2Family;  // whose names and files it has
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;      // query heads
  std::int64_t embedding_dim = 0;  // C
  std::int64_t block_size = 0;     // T, the longest context
  std::int64_t vocab_size = 0;     // V, ids the tokenizer has
  std::int64_t d_ff = 0;           // width of the MLP; 0: usual_d_ff()
  std::int64_t num_kv_heads = 0;   // key and value heads (grouped-query attention, Ainslie et al. 2023); 0: num_heads
  std::int64_t head_size = 0;      // 0: embedding_dim / num_heads
  std::int64_t vocab_multiple = 1;
  PositionKind position = PositionKind::kLearned;
  RotarySettings rotary = {};  // of rotary positions
  NormKind norm = NormKind::kLayerNorm;
  double norm_epsilon = 1e-5;
  MlpKind mlp = MlpKind::kGelu;
  std::int64_t conv_taps = 0;  // previous positions in the convolutions before attention and MLP; 0: no convolutions
  Biases biases = {};
  bool tie_weights = true;  // the LM head is the token embedding
  std::int64_t window = 0;  // positions that attention sees, a query's own among them; 0: all up to it
  float dropout = 0;

  [[nodiscard]] std::int64_t query_width() const { return num_heads * head_size; }
  [[nodiscard]] std::int64_t key_value_width() const { return num_kv_heads * head_size; }
  /// Of queries, keys and values side by side.
  [[nodiscard]] std::int64_t qkv_width() const { return query_width() + 2 * key_value_width(); }
  /// vocab_size rounded up to vocab_multiple: rows of the embedding. Padding rows are zero and stay zero.
  [[nodiscard]] std::int64_t padded_vocab_size() const;
  friend bool operator==(const Architecture&, const Architecture&) = default;
};

/// 4 C; of a gated MLP, which has a matrix more, 8/3 C in whole 32s, as Llama's small ones have it.
[[nodiscard]] std::int64_t usual_d_ff(MlpKind kind, std::int64_t embedding_dim);

/// With what 0 stands for filled in, for counting. Throws UserError naming the size, its value and the remedy.
[[nodiscard]] Architecture checked(Architecture architecture);

/// The same as Virgil trains it, its vocabulary padded to kVocabMultiple: of a family that is trained, as its modules hold it.
/// Throws UserError naming what differs, or the key, its value and the remedy.
[[nodiscard]] Architecture trainable(Architecture architecture);

}  // namespace virgil
