#include "virgil/model/gpt_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "virgil/base/error.h"
#include "virgil/base/value_range.h"

namespace virgil {

GptDecoder::GptDecoder(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory)
    : backend_(backend),
      plan_(plan),
      memory_(memory),
      config_(plan.model()),
      parameters_(config_, plan.parameters(),
                  memory.view(PlanSlot::kWeights, 0, plan.dtype(), {plan.parameters().flat_elements()})) {
  const std::int64_t S = plan.decoder().shape().num_sequences;
  padded_logits_.resize(static_cast<std::size_t>(S * config_.padded_vocab_size()));
  logits_.resize(static_cast<std::size_t>(S * config_.vocab_size()));
  backend_.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
}

TensorView GptDecoder::view(DecodeTensor tensor, const Shape& shape) const {
  const bool is_float32 = tensor == DecodeTensor::kMean || tensor == DecodeTensor::kRstd || tensor == DecodeTensor::kLogits;
  const DType dtype = tensor == DecodeTensor::kTokens ? DType::kInt32
                      : is_float32                    ? DType::kFloat32
                                                      : plan_.decoder().shape().dtype;
  return memory_.view(PlanSlot::kActivations, plan_.decoder().offset_bytes(tensor), dtype, shape);
}

TensorView GptDecoder::cache(std::int64_t offset_bytes, std::int64_t num_sequences) const {
  return memory_.view(PlanSlot::kActivations, offset_bytes, shape().dtype,
                      {num_sequences, config_.num_heads(), shape().max_length, config_.head_size()});
}

std::span<const float> GptDecoder::append(std::span<const std::int32_t> tokens) {
  run(tokens, shape().num_sequences);
  return logits_;
}

std::span<const float> GptDecoder::append_shared(std::span<const std::int32_t> tokens) {
  VIRGIL_CHECK(position_ == 0, "a shared beginning at position {}", position_);
  run(tokens, 1);
  const std::int64_t V = config_.vocab_size();
  for (std::int64_t s = 1; s < shape().num_sequences; ++s) {
    for (std::int64_t layer = 0; layer < config_.num_layers(); ++layer) {
      for (const std::int64_t offset : {plan_.decoder().key_cache_offset(layer), plan_.decoder().value_cache_offset(layer)}) {
        const TensorView first = cache(offset, 1);
        backend_.run(ops::Copy{cache(offset, shape().num_sequences).slice(s * first.num_elements(), first.shape()), first});
      }
    }
    std::copy_n(logits_.begin(), V, logits_.begin() + s * V);
  }
  return logits_;
}

std::optional<NonFiniteOutput> GptDecoder::find_non_finite(std::span<const std::int32_t> tokens) {
  reset();
  non_finite_.reset();
  inspecting_ = true;
  run(tokens, 1);
  inspecting_ = false;
  reset();
  return non_finite_;
}

/// Looks at an output, whose first row is that of `first_position`, while nothing has been found. Layer -1: `part` is the
/// whole name.
void GptDecoder::inspect(std::int64_t layer, std::string_view part, ConstTensorView output, std::int64_t first_position) {
  if (!inspecting_ || non_finite_) return;
  std::vector<std::byte> bytes(static_cast<std::size_t>(output.size_bytes()));
  backend_.copy_to_host(bytes, output);
  const ValueRange range = find_value_range(output.dtype(), bytes);
  if (range.is_finite()) return;
  const std::int64_t row = range.first_non_finite / output.shape()[-1];
  const std::string block = layer < 0 ? std::string() : fmt::format("transformer.h.{}.", layer);
  non_finite_ = NonFiniteOutput{block + std::string(part), first_position + row};
}

/// Appends tokens (S, n) to the first S sequences, piece by piece, and reads their logits.
void GptDecoder::run(std::span<const std::int32_t> tokens, std::int64_t S) {
  const std::int64_t n = static_cast<std::int64_t>(tokens.size()) / S;
  VIRGIL_CHECK(n >= 1 && n * S == static_cast<std::int64_t>(tokens.size()), "{} tokens for {} sequences", tokens.size(), S);
  VIRGIL_CHECK(n <= remaining(), "{} tokens at position {} of {}", n, position_, shape().max_length);
  std::vector<std::int32_t> piece;
  for (std::int64_t done = 0; done < n;) {
    const std::int64_t rows =
        *std::ranges::find_if(kPrefillRows, [&](std::int64_t r) { return r <= n - done && r <= plan_.decoder().max_rows(); });
    piece.clear();
    for (std::int64_t s = 0; s < S; ++s) {
      const auto first = tokens.begin() + s * n + done;
      piece.insert(piece.end(), first, first + rows);
    }
    run_rows(piece, S, rows);
    done += rows;
    if (done == n) read_logits(S, rows);
  }
}

void GptDecoder::run_rows(std::span<const std::int32_t> tokens, std::int64_t S, std::int64_t rows) {
  const TensorView ids = view(DecodeTensor::kTokens, {S, rows});
  backend_.copy_from_host(ids, std::as_bytes(tokens));
  backend_.run(ops::EmbeddingForward{
      view(DecodeTensor::kResidual, {S, rows, config_.embedding_dim()}), ids, parameters_.wte, parameters_.wpe, position_, {}});
  inspect(-1, "transformer.wte + transformer.wpe", view(DecodeTensor::kResidual, {S, rows, config_.embedding_dim()}),
          position_);
  for (std::int64_t layer = 0; layer < config_.num_layers(); ++layer) run_block(layer, S, rows);
  position_ += rows;
}

void GptDecoder::run_block(std::int64_t layer, std::int64_t S, std::int64_t rows) {
  using enum DecodeTensor;
  const DecoderLayout& layout = plan_.decoder();
  const BlockViews& block = parameters_.blocks[static_cast<std::size_t>(layer)];
  const std::int64_t C = config_.embedding_dim();
  const Shape shape{S, rows, C};
  const TensorView residual = view(kResidual, shape);
  const TensorView residual_mid = view(kResidualMid, shape);
  const TensorView norm = view(kNorm, shape);
  const TensorView mean = view(kMean, {S * rows});
  const TensorView rstd = view(kRstd, {S * rows});
  const TensorView qkv = view(kQkv, {S, rows, 3 * C});
  const TensorView attention = view(kAttention, shape);
  const TensorView branch = view(kBranch, shape);
  const TensorView hidden = view(kMlpHidden, {S, rows, config_.d_ff()});

  if (layer == 0) backend_.run(ops::LayernormForward{norm, mean, rstd, residual, block.norm1_weight, block.norm1_bias});
  inspect(layer, "ln_1", norm, position_);
  backend_.run(ops::Matmul{qkv, norm, block.qkv_weight, block.qkv_bias, {}});
  inspect(layer, "attn.c_attn", qkv, position_);
  backend_.run(ops::AttentionDecode{attention, cache(layout.key_cache_offset(layer), S),
                                    cache(layout.value_cache_offset(layer), S), qkv, config_.num_heads(), position_});
  inspect(layer, "attn", attention, position_);
  backend_.run(ops::Matmul{branch, attention, block.attention_weight, block.attention_bias, {}});
  inspect(layer, "attn.c_proj", branch, position_);
  backend_.run(ops::ResidualLayernormForward{
      residual_mid, norm, mean, rstd, residual, branch, block.norm2_weight, block.norm2_bias, {}});
  inspect(layer, "attn + residual", residual_mid, position_);
  inspect(layer, "ln_2", norm, position_);
  backend_.run(ops::Matmul{hidden, norm, block.fc_weight, block.fc_bias, {}});
  inspect(layer, "mlp.c_fc", hidden, position_);
  backend_.run(ops::GeluForward{hidden, hidden});
  inspect(layer, "mlp.act", hidden, position_);
  backend_.run(ops::Matmul{branch, hidden, block.mlp_weight, block.mlp_bias, {}});
  inspect(layer, "mlp.c_proj", branch, position_);
  const bool last = layer + 1 == config_.num_layers();
  const TensorView next_weight =
      last ? parameters_.norm_weight : parameters_.blocks[static_cast<std::size_t>(layer + 1)].norm1_weight;
  const TensorView next_bias =
      last ? parameters_.norm_bias : parameters_.blocks[static_cast<std::size_t>(layer + 1)].norm1_bias;
  backend_.run(ops::ResidualLayernormForward{residual, norm, mean, rstd, residual_mid, branch, next_weight, next_bias, {}});
  inspect(layer, "mlp + residual", residual, position_);
  if (last) inspect(-1, "transformer.ln_f", norm, position_);
}

void GptDecoder::read_logits(std::int64_t S, std::int64_t rows) {
  using enum DecodeTensor;
  const std::int64_t C = config_.embedding_dim();
  const std::int64_t Vp = config_.padded_vocab_size();
  const std::int64_t V = config_.vocab_size();
  // The last row of each sequence, gathered by normalising it once more: the ops have no strided copy, and S rows cost nothing.
  const TensorView residual = view(kResidual, {S, rows, C});
  const TensorView last_rows = view(kLastRows, {S, C});
  for (std::int64_t s = 0; s < S; ++s) {
    backend_.run(ops::LayernormForward{last_rows.slice(s * C, {1, C}), view(kMean, {1}), view(kRstd, {1}),
                                       residual.slice((s * rows + rows - 1) * C, {1, C}), parameters_.norm_weight,
                                       parameters_.norm_bias});
  }
  const TensorView logits = view(kLogits, {S, Vp});
  backend_.run(ops::Matmul{logits, last_rows, parameters_.head, {}, {.transpose_b = true}});
  inspect(-1, "lm_head", logits, position_ - 1);
  backend_.copy_to_host(std::as_writable_bytes(std::span(padded_logits_).first(static_cast<std::size_t>(S * Vp))), logits);
  for (std::int64_t s = 0; s < S; ++s) std::copy_n(padded_logits_.begin() + s * Vp, V, logits_.begin() + s * V);
}

}  // namespace virgil
