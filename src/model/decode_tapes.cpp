#include "virgil/model/decode_tapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/blocks/block.h"
#include "model/blocks/embedding.h"
#include "model/blocks/recorder.h"
#include "model/blocks/residual_norm.h"
#include "virgil/base/error.h"
#include "virgil/ops/matmul.h"

namespace virgil {

DecodeTapes::DecodeTapes(const Architecture& model, const DecodeShape& shape, const ParameterLayout& parameters,
                         std::int64_t alignment_bytes)
    : shape_(shape) {
  VIRGIL_CHECK(shape.max_length >= 1 && shape.max_length <= model.block_size, "max_length {} of block_size {}",
               shape.max_length, model.block_size);
  VIRGIL_CHECK(shape.num_sequences >= 1, "{} sequences", shape.num_sequences);
  const std::int64_t positions = checked_multiply(shape.num_sequences, shape.max_length);
  const std::int64_t elements = checked_multiply(positions, model.key_value_width());
  cache_bytes_ = round_up(checked_multiply(elements, size_of(shape.dtype)), alignment_bytes);
  all_caches_bytes_ = checked_multiply(checked_multiply(2, model.num_layers), cache_bytes_);
  for (const std::int64_t rows : kPrefillRows) {
    if (rows > shape.max_length) continue;
    max_rows_ = std::max(max_rows_, rows);
    sizes_.push_back({1, rows});
    if (shape.num_sequences > 1) sizes_.push_back({shape.num_sequences, rows});
  }
  const Recorded largest = record_calls(model, parameters, {shape.num_sequences, max_rows_}, model.num_layers);
  arena_ = std::make_shared<const ArenaLayout>(largest.tape, alignment_bytes, true, all_caches_bytes_);
}

DecodePass DecodeTapes::record(const Architecture& model, const ParameterLayout& parameters, const DecodePassSize& size) const {
  Recorded recorded = record_calls(model, parameters, size, model.num_layers);
  return {.size = size,
          .placed = {std::move(recorded.tape), arena_},
          .first_head_call = recorded.first_head_call,
          .tokens = recorded.tokens,
          .logits = recorded.logits};
}

std::int64_t DecodeTapes::workspace_bytes(const Architecture& model, const ParameterLayout& parameters,
                                          const BackendTraits& traits) const {
  std::int64_t largest = 0;
  for (const DecodePassSize& size : sizes_) {
    const Recorded recorded = record_calls(model, parameters, size, 1);  // all layers ask for the same
    for (const Call& call : recorded.tape.calls()) largest = std::max(largest, traits.workspace_bytes(call));
  }
  return largest;
}

DecodeTapes::Recorded DecodeTapes::record_calls(const Architecture& model, const ParameterLayout& parameters,
                                                const DecodePassSize& size, std::int64_t num_layers) const {
  const auto [num_sequences, rows] = size;
  constexpr std::int64_t kCallsOfBlock = 8;
  Tape tape(Recompute::kNone, static_cast<std::size_t>((num_layers + 1) * kCallsOfBlock + num_sequences));
  const GradientLayout no_gradients(parameters, false);
  Recorder recorder(tape, model, {num_sequences, rows, shape_.dtype, false}, parameters, no_gradients);
  const std::int64_t C = model.embedding_dim;
  const TensorView tokens = tape.tensor({.name = "tokens", .dtype = DType::kInt32, .shape = {num_sequences, rows}});
  const auto cache = [&](std::string_view kind, std::int64_t layer, std::int64_t offset) {
    return tape.tensor({.name = fmt::format("{}{}.{} cache", layer_prefix(model, layer), recorder.names().attention, kind),
                        .dtype = shape_.dtype,
                        .shape = {size.num_sequences, model.num_kv_heads, shape_.max_length, model.head_size},
                        .offset_bytes = offset});
  };
  const Embedding embedding(recorder);
  ResidualStream stream = embedding.forward(recorder, tokens);
  for (std::int64_t layer = 0; layer < num_layers; ++layer) {
    const KeyValueCache caches{cache("key", layer, key_cache_offset(layer)), cache("value", layer, value_cache_offset(layer))};
    Block(recorder, layer).forward(recorder, stream, &caches);
  }
  const std::string last_norm_name(recorder.names().last_norm);
  Norm last_norm(recorder, last_norm_name);
  const ConstTensorView norm = last_norm.forward(recorder, stream, {}, {});

  const std::size_t first_head_call = tape.calls().size();
  // The last row of each sequence, side by side. A copy even of a single row: all passes have the same tensors.
  const TensorView last_rows =
      tape.tensor({.name = last_norm_name + " of last rows", .dtype = shape_.dtype, .shape = {num_sequences, C}});
  for (std::int64_t s = 0; s < num_sequences; ++s) {
    tape.add(ops::Copy{.dst = last_rows.slice(s * C, {C}), .src = norm.slice((s * rows + rows - 1) * C, {C})});
  }
  const TensorView logits = tape.tensor({.name = std::string(recorder.names().head),
                                         .dtype = DType::kFloat32,
                                         .shape = {num_sequences, model.padded_vocab_size()}});
  const Parameter head =
      model.tie_weights ? embedding.tokens() : recorder.parameter(module_path(recorder.names().head, "weight"));
  tape.add(ops::Matmul{.out = logits, .a = last_rows, .b = head.value, .bias = {}, .options = {.transpose_b = true}});
  return {std::move(tape), first_head_call, tokens, logits};
}

}  // namespace virgil
