#include "virgil/model/gpt_decoder.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/value_range.h"

namespace virgil {

GptDecoder::GptDecoder(Backend& backend, const MemoryPlan& plan, const PlannedMemory& memory)
    : backend_(backend), plan_(plan), memory_(memory), config_(plan.model()) {
  const std::int64_t S = shape().num_sequences;
  for (DecodePass& pass : plan.decode_passes()) {
    std::vector<Call> calls = memory.bind(pass.placed);
    const TensorView tokens = memory.bind(pass.placed, pass.tokens);
    const TensorView logits = memory.bind(pass.placed, pass.logits);
    passes_.push_back({std::move(pass), std::move(calls), tokens, logits});
  }
  padded_logits_.resize(static_cast<std::size_t>(S * config_.padded_vocab_size()));
  logits_.resize(static_cast<std::size_t>(S * config_.vocab_size));
  backend_.bind_workspace(memory.bytes(PlanSlot::kWorkspace));
}

TensorView GptDecoder::cached(const DecodeTapes::Cache& cache, std::int64_t sequence) const {
  const std::int64_t elements = cache.sequence_shape.num_elements();
  const std::int64_t offset_bytes = cache.offset_bytes + sequence * elements * size_of(shape().dtype);
  return memory_.view(PlanSlot::kActivations, offset_bytes, shape().dtype, cache.sequence_shape);
}

void GptDecoder::rewind(std::int64_t position) {
  VIRGIL_CHECK(position >= 0 && position <= position_, "rewind to {} of {} positions", position, position_);
  position_ = position;
}

std::span<const float> GptDecoder::append(std::span<const std::int32_t> tokens) {
  run(tokens, shape().num_sequences);
  return logits_;
}

std::span<const float> GptDecoder::append_shared(std::span<const std::int32_t> tokens) {
  VIRGIL_CHECK(position_ == 0, "a shared beginning at position {}", position_);
  run(tokens, 1);
  const std::int64_t V = config_.vocab_size;
  for (std::int64_t s = 1; s < shape().num_sequences; ++s) {
    for (std::int64_t layer = 0; layer < config_.num_layers; ++layer) {
      for (const DecodeTapes::Cache& cache : plan_.decoder().layer_caches(layer)) {
        backend_.run(ops::Copy{cached(cache, s), cached(cache, 0)});
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

/// Looks at what call `index` of a pass has left, while nothing has been found.
void GptDecoder::inspect(const BoundPass& bound, std::size_t index) {
  const Tape& tape = bound.pass.placed.tape;
  std::vector<ConstTensorView> planned;
  for_each_operand(tape.calls()[index], [&](std::string_view /*name*/, const ConstTensorView& view, ops::Access access) {
    const bool is_output = access == ops::Access::kWrite && view.shape().rank() > 1;  // neither caches nor statistics
    if (is_output) planned.push_back(view);
  });
  for (const ConstTensorView& view : planned) {
    if (non_finite_) return;
    std::vector<std::byte> bytes(static_cast<std::size_t>(view.size_bytes()));
    backend_.copy_to_host(bytes, memory_.bind(bound.pass.placed, view));
    const ValueRange range = find_value_range(view.dtype(), bytes);
    if (range.is_finite()) continue;
    // Of logits there is the last row alone.
    const std::int64_t row = bound.pass.size.rows - view.shape().num_rows() + range.first_non_finite / view.shape()[-1];
    non_finite_ = NonFiniteOutput{tape.tensors()[static_cast<std::size_t>(view.tensor())].name, position_ + row};
  }
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
    done += rows;
    run_pass(piece, S, rows, done == n);
  }
}

void GptDecoder::run_pass(std::span<const std::int32_t> tokens, std::int64_t S, std::int64_t rows, bool with_logits) {
  const DecodePassSize size{S, rows};
  BoundPass& bound = *std::ranges::find_if(passes_, [&](const BoundPass& candidate) { return candidate.pass.size == size; });
  backend_.copy_from_host(bound.tokens, std::as_bytes(tokens));
  const std::size_t num_calls = with_logits ? bound.calls.size() : bound.pass.first_head_call;
  for (std::size_t i = 0; i < num_calls; ++i) {
    std::visit(
        [&](auto& op) {
          if constexpr (requires { op.first_position; }) op.first_position = position_;
        },
        bound.calls[i]);
    backend_.run(bound.calls[i]);
    if (inspecting_) inspect(bound, i);
  }
  position_ += rows;
  if (with_logits) read_logits(bound.logits);
}

void GptDecoder::read_logits(const ConstTensorView& logits) {
  const std::int64_t S = logits.shape()[0];
  const std::int64_t Vp = logits.shape()[1];
  const std::int64_t V = config_.vocab_size;
  backend_.copy_to_host(std::as_writable_bytes(std::span(padded_logits_).first(static_cast<std::size_t>(S * Vp))), logits);
  for (std::int64_t s = 0; s < S; ++s) std::copy_n(padded_logits_.begin() + s * Vp, V, logits_.begin() + s * V);
}

}  // namespace virgil
