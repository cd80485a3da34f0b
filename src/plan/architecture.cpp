#include "virgil/plan/architecture.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/model/head_choice.h"

namespace virgil {

namespace {

/// Above every model that exists; products of three such sizes still need checking.
constexpr std::int64_t kMaxWidth = std::int64_t{1} << 20;
constexpr std::int64_t kMaxLayers = 1 << 14;
constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 28;
constexpr std::int64_t kMaxContext = std::int64_t{1} << 28;

void check_size(const ArchitectureSpec& spec, const char* key, std::int64_t value, std::int64_t largest) {
  if (value < 1 || value > largest) {
    throw user_error("{}: {} is {}: choose a value between 1 and {}", spec.name, key, value, largest);
  }
}

template <typename Kind, std::size_t Size>
Kind parse_kind(const char* key, std::string_view name, const std::array<Kind, Size>& kinds) {
  std::string known;
  for (const Kind kind : kinds) {
    if (name_of(kind) == name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : " or ", name_of(kind));
  }
  throw user_error("{} is \"{}\": choose {}", key, name, known);
}

}  // namespace

std::string_view name_of(PositionKind kind) { return kind == PositionKind::kLearned ? "learned" : "rotary"; }
std::string_view name_of(NormKind kind) { return kind == NormKind::kLayerNorm ? "layernorm" : "rmsnorm"; }
std::string_view name_of(MlpKind kind) { return kind == MlpKind::kGelu ? "gelu" : "swiglu"; }

PositionKind parse_position(std::string_view name) {
  return parse_kind("position", name, std::array{PositionKind::kLearned, PositionKind::kRotary});
}
NormKind parse_norm(std::string_view name) {
  return parse_kind("norm", name, std::array{NormKind::kLayerNorm, NormKind::kRmsNorm});
}
MlpKind parse_mlp(std::string_view name) { return parse_kind("mlp", name, std::array{MlpKind::kGelu, MlpKind::kSwiGlu}); }

std::int64_t ArchitectureSpec::padded_vocab_size() const { return round_up(vocab_size, vocab_multiple); }

ArchitectureSpec checked(ArchitectureSpec spec) {
  check_size(spec, "n_layer", spec.num_layers, kMaxLayers);
  check_size(spec, "n_head", spec.num_heads, kMaxWidth);
  check_size(spec, "n_embd", spec.embedding_dim, kMaxWidth);
  check_size(spec, "block_size", spec.block_size, kMaxContext);
  check_size(spec, "vocab_size", spec.vocab_size, kMaxVocabulary);
  check_size(spec, "pad_vocab", spec.vocab_multiple, kMaxVocabulary);
  if (spec.num_kv_heads == 0) spec.num_kv_heads = spec.num_heads;
  check_size(spec, "n_kv_head", spec.num_kv_heads, kMaxWidth);
  if (spec.num_heads % spec.num_kv_heads != 0) {
    throw user_error("{}: n_head is {} and n_kv_head is {}: n_head must be a multiple of n_kv_head", spec.name, spec.num_heads,
                     spec.num_kv_heads);
  }
  if (spec.head_size == 0) {
    if (spec.embedding_dim % spec.num_heads != 0) {
      throw user_error("{}: n_embd is {} and n_head is {}: n_embd must be a multiple of n_head; {}", spec.name,
                       spec.embedding_dim, spec.num_heads, head_remedy(spec.embedding_dim, spec.num_heads));
    }
    spec.head_size = spec.embedding_dim / spec.num_heads;
  }
  check_size(spec, "head_size", spec.head_size, kMaxWidth);
  if (spec.d_ff == 0) spec.d_ff = checked_multiply(4, spec.embedding_dim);
  check_size(spec, "d_ff", spec.d_ff, 4 * kMaxWidth);
  return spec;
}

ArchitectureSpec architecture_of(const ModelConfig& config, std::string name) {
  return checked({.name = std::move(name),
                  .num_layers = config.num_layers(),
                  .num_heads = config.num_heads(),
                  .embedding_dim = config.embedding_dim(),
                  .d_ff = config.d_ff(),
                  .block_size = config.block_size(),
                  .vocab_size = config.vocab_size(),
                  .vocab_multiple = ModelConfig::kVocabMultiple,
                  .qkv_bias = config.bias(),
                  .projection_bias = config.bias(),
                  .mlp_bias = config.bias(),
                  .norm_bias = config.bias(),
                  .tie_weights = config.tie_weights()});
}

std::variant<ModelSizes, std::string> trainable_sizes(const ArchitectureSpec& spec, float dropout) {
  std::string differences;
  const auto note = [&](bool differs, std::string_view what) {
    if (differs) differences += fmt::format("{}{}", differences.empty() ? "" : ", ", what);
  };
  note(spec.position != PositionKind::kLearned, "rotary positions");
  note(spec.norm != NormKind::kLayerNorm, "RMSNorm");
  note(spec.mlp != MlpKind::kGelu, "a gated MLP");
  note(spec.num_kv_heads != spec.num_heads, "grouped key and value heads");
  note(spec.query_width() != spec.embedding_dim, "heads that are not n_embd wide together");
  const bool one_bias =
      spec.qkv_bias == spec.projection_bias && spec.qkv_bias == spec.mlp_bias && spec.qkv_bias == spec.norm_bias;
  note(!one_bias, "biases in some places only");
  if (!differences.empty()) return "Virgil trains GPT-2's architecture; this one has " + differences;
  const ModelSizes sizes{.num_layers = spec.num_layers,
                         .num_heads = spec.num_heads,
                         .embedding_dim = spec.embedding_dim,
                         .block_size = spec.block_size,
                         .vocab_size = spec.vocab_size,
                         .d_ff = spec.d_ff,
                         .bias = spec.qkv_bias,
                         .tie_weights = spec.tie_weights,
                         .dropout = dropout};
  try {
    return ModelConfig(sizes).sizes();
  } catch (const UserError& error) {
    return std::string(error.what());
  }
}

}  // namespace virgil
