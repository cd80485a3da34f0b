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

namespace {

/// Of a cache of so many sequences.
Shape cache_shape(std::int64_t num_sequences, const Shape& one) {
  return one.rank() == 2 ? Shape{num_sequences, one[0], one[1]} : Shape{num_sequences, one[0], one[1], one[2]};
}

}  // namespace

DecodeTapes::DecodeTapes(const Architecture& model, const DecodeShape& shape, const ParameterLayout& parameters,
                         std::int64_t alignment_bytes)
    : shape_(shape) {
  VIRGIL_CHECK(shape.max_length >= 1 && shape.max_length <= model.block_size, "max_length {} of block_size {}",
               shape.max_length, model.block_size);
  VIRGIL_CHECK(shape.num_sequences >= 1, "{} sequences", shape.num_sequences);
  const std::int64_t positions = checked_multiply(shape.num_sequences, shape.max_length);
  const auto cache_bytes = [&](std::int64_t width) {
    return round_up(checked_multiply(checked_multiply(positions, width), size_of(shape.dtype)), alignment_bytes);
  };
  key_value_shape_ = {model.num_kv_heads, shape.max_length, model.head_size};
  key_value_bytes_ = cache_bytes(model.key_value_width());
  if (model.conv_taps > 0) {
    input_shape_ = {shape.max_length, model.embedding_dim};
    input_bytes_ = cache_bytes(model.embedding_dim);
  }
  layer_bytes_ = checked_multiply(2, checked_add(key_value_bytes_, input_bytes_));
  all_caches_bytes_ = checked_multiply(model.num_layers, layer_bytes_);
  for (const std::int64_t rows : kPrefillRows) {
    if (rows > shape.max_length) continue;
    max_rows_ = std::max(max_rows_, rows);
    sizes_.push_back({1, rows});
    if (shape.num_sequences > 1) sizes_.push_back({shape.num_sequences, rows});
  }
  const Recorded largest = record_calls(model, parameters, {shape.num_sequences, max_rows_}, model.num_layers);
  arena_ = std::make_shared<const ArenaLayout>(largest.tape, alignment_bytes, true, all_caches_bytes_);
}

std::vector<DecodeTapes::Cache> DecodeTapes::layer_caches(std::int64_t layer) const {
  std::vector<Cache> caches = {key_cache(layer), value_cache(layer)};
  if (input_bytes_ > 0) caches.insert(caches.end(), {attention_input_cache(layer), mlp_input_cache(layer)});
  return caches;
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
  const auto cache = [&](std::string_view module, std::string_view kind, std::int64_t layer, const Cache& place) {
    return tape.tensor({.name = fmt::format("{}{}.{} cache", layer_prefix(model, layer), module, kind),
                        .dtype = shape_.dtype,
                        .shape = cache_shape(size.num_sequences, place.sequence_shape),
                        .offset_bytes = place.offset_bytes});
  };
  const auto caches_of = [&](std::int64_t layer) {
    const ModuleNames& names = recorder.names();
    LayerCache caches{.keys = cache(names.attention, "key", layer, key_cache(layer)),
                      .values = cache(names.attention, "value", layer, value_cache(layer)),
                      .attention_inputs = {},
                      .mlp_inputs = {}};
    if (model.conv_taps == 0) return caches;
    caches.attention_inputs = cache(names.attention, "input", layer, attention_input_cache(layer));
    caches.mlp_inputs = cache(names.mlp, "input", layer, mlp_input_cache(layer));
    return caches;
  };
  const Embedding embedding(recorder);
  ResidualStream stream = embedding.forward(recorder, tokens);
  for (std::int64_t layer = 0; layer < num_layers; ++layer) {
    const LayerCache caches = caches_of(layer);
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
