#include "virgil/model/architecture.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/shape.h"
#include "virgil/model/family.h"
#include "virgil/model/head_choice.h"
#include "virgil/ops/conv_taps.h"

namespace virgil {

namespace {

/// Above every model that exists; products of three such sizes still need checking.
constexpr std::int64_t kMaxWidth = std::int64_t{1} << 20;
constexpr std::int64_t kMaxLayers = 1 << 14;
constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 28;
constexpr std::int64_t kMaxContext = std::int64_t{1} << 28;

std::string prefix(const Architecture& model) { return model.name.empty() ? "" : model.name + ": "; }

void check_size(const Architecture& model, const char* key, std::int64_t value, std::int64_t largest) {
  if (value >= 1 && value <= largest) return;
  throw user_error("{}{} is {}: choose a value between 1 and {}", prefix(model), key, value, largest);
}

/// Those that nothing stands for.
void check_given_sizes(const Architecture& model) {
  check_size(model, "n_layer", model.num_layers, kMaxLayers);
  check_size(model, "n_head", model.num_heads, kMaxWidth);
  check_size(model, "n_embd", model.embedding_dim, kMaxWidth);
  check_size(model, "block_size", model.block_size, kMaxContext);
  check_size(model, "vocab_size", model.vocab_size, kMaxVocabulary);
  check_size(model, "pad_vocab", model.vocab_multiple, kMaxVocabulary);
}

void check_convolutions(const Architecture& model) {
  if (model.conv_taps < 0 || model.conv_taps > kMaxConvTaps) {
    throw user_error("{}conv_taps is {}: choose a value between 0 and {}", prefix(model), model.conv_taps, kMaxConvTaps);
  }
  if (model.conv_taps > 0 && model.family->modules.convolution.empty()) {
    throw user_error("{}conv_taps is {}, and models of {} have no convolutions: leave it out", prefix(model), model.conv_taps,
                     model.family->model_type);
  }
}

/// What the blocks of model/blocks do not compute; empty: nothing.
std::string differences_to_gpt2(const Architecture& model) {
  std::string differences;
  const auto note = [&](bool differs, std::string_view what) {
    if (differs) differences += fmt::format("{}{}", differences.empty() ? "" : ", ", what);
  };
  note(model.position != PositionKind::kLearned, "rotary positions");
  note(model.norm != NormKind::kLayerNorm, "RMSNorm");
  note(model.mlp == MlpKind::kSwiGlu, "a gated MLP");
  note(model.num_kv_heads != 0 && model.num_kv_heads != model.num_heads, "grouped key and value heads");
  note(model.head_size != 0 && model.query_width() != model.embedding_dim, "heads that are not n_embd wide together");
  note(differences.empty() && !model.family->is_trained(), fmt::format("the modules of {}", model.family->model_type));
  note(model.biases != Biases::everywhere(model.biases.qkv), "biases in some places only");
  return differences;
}

template <typename Kind, std::size_t Size>
Kind parse_kind(const char* key, std::string_view name, const std::array<Kind, Size>& kinds) {
  std::string known;
  for (const Kind& kind : kinds) {
    if (name_of(kind) == name) return kind;
    known += fmt::format("{}{}", known.empty() ? "" : &kind == &kinds.back() ? " or " : ", ", name_of(kind));
  }
  throw user_error("{} is \"{}\": choose {}", key, name, known);
}

}  // namespace

std::string_view name_of(PositionKind kind) { return kind == PositionKind::kLearned ? "learned" : "rotary"; }
std::string_view name_of(NormKind kind) { return kind == NormKind::kLayerNorm ? "layernorm" : "rmsnorm"; }
std::string_view name_of(MlpKind kind) {
  switch (kind) {
    case MlpKind::kGelu:
      return "gelu";
    case MlpKind::kReluSquared:
      return "relu2";
    case MlpKind::kSwiGlu:
      return "swiglu";
  }
  throw InternalError("no such MLP");
}

PositionKind parse_position(std::string_view name) {
  return parse_kind("position", name, std::array{PositionKind::kLearned, PositionKind::kRotary});
}
NormKind parse_norm(std::string_view name) {
  return parse_kind("norm", name, std::array{NormKind::kLayerNorm, NormKind::kRmsNorm});
}
MlpKind parse_mlp(std::string_view name) {
  return parse_kind("mlp", name, std::array{MlpKind::kGelu, MlpKind::kReluSquared, MlpKind::kSwiGlu});
}

std::int64_t Architecture::padded_vocab_size() const { return round_up(vocab_size, vocab_multiple); }

Architecture checked(Architecture model) {
  check_given_sizes(model);
  if (model.num_kv_heads == 0) model.num_kv_heads = model.num_heads;
  check_size(model, "n_kv_head", model.num_kv_heads, kMaxWidth);
  if (model.num_heads % model.num_kv_heads != 0) {
    throw user_error("{}n_head is {} and n_kv_head is {}: n_head must be a multiple of n_kv_head", prefix(model),
                     model.num_heads, model.num_kv_heads);
  }
  if (model.head_size == 0) {
    if (model.embedding_dim % model.num_heads != 0) {
      throw user_error("{}n_embd is {} and n_head is {}: n_embd must be a multiple of n_head; {}", prefix(model),
                       model.embedding_dim, model.num_heads, head_remedy(model.embedding_dim, model.num_heads));
    }
    model.head_size = model.embedding_dim / model.num_heads;
  }
  check_size(model, "head_size", model.head_size, kMaxWidth);
  if (model.d_ff == 0) model.d_ff = checked_multiply(4, model.embedding_dim);
  check_size(model, "d_ff", model.d_ff, 4 * kMaxWidth);
  check_convolutions(model);
  return model;
}

Architecture trainable(Architecture model) {
  if (const std::string differences = differences_to_gpt2(model); !differences.empty()) {
    throw UserError("Virgil trains GPT-2's architecture; this one has " + differences);
  }
  check_given_sizes(model);
  if (const std::string problem = head_problem(model.embedding_dim, model.num_heads); !problem.empty()) {
    throw UserError(problem);
  }
  if (!(model.dropout >= 0 && model.dropout < 1)) throw user_error("dropout is {}: choose a value in [0, 1)", model.dropout);
  model.vocab_multiple = kVocabMultiple;
  return checked(std::move(model));
}

}  // namespace virgil
