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

/// What of the model its family's files cannot hold, or is not trained; empty: nothing.
std::string untrained_parts(const Architecture& model) {
  std::string parts;
  const auto note = [&](bool has, std::string_view what) {
    if (has) parts += fmt::format("{}{}", parts.empty() ? "" : ", ", what);
  };
  const Family& family = *model.family;
  if (!family.is_trained()) return fmt::format("the modules of {}", family.model_type);
  const Architecture usual = family.usual();
  note(model.position != usual.position, fmt::format("{} positions", name_of(model.position)));
  note(model.norm != usual.norm, fmt::format("norm {}", name_of(model.norm)));
  note(is_gated(model.mlp) != is_gated(usual.mlp), fmt::format("the MLP {}", name_of(model.mlp)));
  if (usual.position == PositionKind::kLearned) {
    note(model.num_kv_heads != 0 && model.num_kv_heads != model.num_heads, "grouped key and value heads");
    note(model.head_size != 0 && model.query_width() != model.embedding_dim, "heads that are not n_embd wide together");
    note(model.window != 0, "a window of attention");
    note(model.biases != Biases::everywhere(model.biases.qkv), "biases in some places only");
  } else {
    note(model.biases.norm, "biases in norms");
    // Its config.json could not tell: other programs would compute something else.
    note(model.window != 0 && model.family != &kMistralFamily, "a window of attention, which mistral has");
    note(model.rotary.size != 0 && model.rotary.size != model.head_size, "heads that turn in part");
  }
  return parts;
}

/// Of heads that need not be n_embd wide together.
void check_heads(const Architecture& model) {
  constexpr std::int64_t kStep = 8;
  if (model.head_size % kStep != 0 || model.head_size > kMaxHeadSize) {
    throw user_error("{}head_size is {}: attention takes multiples of {} up to {}", prefix(model), model.head_size, kStep,
                     kMaxHeadSize);
  }
  if (model.embedding_dim % kStep != 0) {
    throw user_error("{}n_embd is {}: it must be a multiple of {}", prefix(model), model.embedding_dim, kStep);
  }
}

/// Those of the rotary positions and the norms.
void check_settings(const Architecture& model) {
  if (!(model.norm_epsilon > 0 && model.norm_epsilon < 1)) {
    throw user_error("{}norm_epsilon is {}: choose a value above 0 and below 1", prefix(model), model.norm_epsilon);
  }
  if (model.window < 0 || model.window > kMaxContext) {
    throw user_error("{}window is {}: choose a value between 0 and {}", prefix(model), model.window, kMaxContext);
  }
  if (model.position != PositionKind::kRotary) return;
  const RotarySettings& rotary = model.rotary;
  if (!(rotary.theta > 1 && rotary.theta <= 1e12)) {
    throw user_error("{}rope_theta is {}: choose a value above 1, up to 1e12", prefix(model), rotary.theta);
  }
  if (rotary.size < 0 || rotary.size % 2 != 0 || rotary.size > model.head_size) {
    throw user_error("{}{} elements of heads of {} shall turn: choose an even number up to that", prefix(model), rotary.size,
                     model.head_size);
  }
  if (rotary.size == 0 && model.head_size % 2 != 0) {
    throw user_error("{}head_size is {}: rotary positions need an even one", prefix(model), model.head_size);
  }
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
    case MlpKind::kGeGlu:
      return "geglu";
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
  return parse_kind("mlp", name, std::array{MlpKind::kGelu, MlpKind::kReluSquared, MlpKind::kSwiGlu, MlpKind::kGeGlu});
}

std::int64_t Architecture::padded_vocab_size() const { return round_up(vocab_size, vocab_multiple); }

std::int64_t usual_d_ff(MlpKind kind, std::int64_t embedding_dim) {
  constexpr std::int64_t kStep = 32;
  const std::int64_t four_widths = checked_multiply(4, embedding_dim);
  return is_gated(kind) ? round_up(ceil_div(checked_multiply(2, four_widths), 3), kStep) : four_widths;
}

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
  if (model.d_ff == 0) model.d_ff = usual_d_ff(model.mlp, model.embedding_dim);
  check_size(model, "d_ff", model.d_ff, 4 * kMaxWidth);
  check_convolutions(model);
  check_settings(model);
  RotaryScaling& scaling = model.rotary.scaling;
  if (has_original(scaling.kind) && scaling.original == 0) scaling.original = model.block_size;
  return model;
}

Architecture trainable(Architecture model) {
  if (const std::string parts = untrained_parts(model); !parts.empty()) {
    throw user_error("models of {} are trained, by Virgil, without {}", model.family->model_type, parts);
  }
  check_given_sizes(model);
  if (model.position == PositionKind::kLearned) {
    const std::string problem = head_problem(model.embedding_dim, model.num_heads);
    if (!problem.empty()) throw UserError(problem);
  }
  if (!(model.dropout >= 0 && model.dropout < 1)) throw user_error("dropout is {}: choose a value in [0, 1)", model.dropout);
  model.vocab_multiple = kVocabMultiple;
  model = checked(std::move(model));
  check_heads(model);
  return model;
}

}  // namespace virgil
