// The calls of token-by-token generation, and its memory: the caches of keys and values, and the activations of a pass over a
// few new rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "virgil/backend/backend.h"
#include "virgil/base/dtype.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/model/architecture.h"
#include "virgil/model/parameter_layout.h"
#include "virgil/model/step_tape.h"

namespace virgil {

/// How many sequences are generated at once and how far.
struct DecodeShape {
  std::int64_t num_sequences = 0;  // S
  std::int64_t max_length = 0;     // L: prompt and new tokens together, at most block_size
  DType dtype = DType::kFloat32;
};

/// Rows of a sequence that one pass takes: a prompt is cut into pieces of these sizes, largest first, so that a handful of
/// matrix shapes serve any prompt.
inline constexpr std::int64_t kPrefillRows[] = {64, 16, 4, 1};

/// A pass over `rows` new rows of the first `num_sequences` sequences.
struct DecodePassSize {
  std::int64_t num_sequences = 0;
  std::int64_t rows = 0;
  friend bool operator==(const DecodePassSize&, const DecodePassSize&) = default;
};

/// Where its rows stand is set when it runs.
struct DecodePass {
  DecodePassSize size;
  PlacedTape placed;
  std::size_t first_head_call = 0;  // from there on the logits of the last rows are computed, which not every pass needs
  TensorView tokens;                // (num_sequences, rows) int32, an activation
  TensorView logits;                // (num_sequences, Vp) float32, an activation
};

/// Pure function of its arguments. The caches lie at the beginning of the arena, layer by layer. All passes
/// have the same tensors, of sizes up to those of the largest pass, and they lie where that one's do.
class DecodeTapes {
 public:
  DecodeTapes(const Architecture& model, const DecodeShape& shape, const ParameterLayout& parameters,
              std::int64_t alignment_bytes);

  [[nodiscard]] const DecodeShape& shape() const { return shape_; }
  /// Largest number of rows of a pass: the largest of kPrefillRows that is at most max_length.
  [[nodiscard]] std::int64_t max_rows() const { return max_rows_; }
  /// All there are: for one sequence (a prompt that all share is read as one) and for all, of each number of rows.
  [[nodiscard]] std::span<const DecodePassSize> sizes() const { return sizes_; }
  /// One of them. The arguments are those of the constructor, here and below.
  [[nodiscard]] DecodePass record(const Architecture& model, const ParameterLayout& parameters,
                                  const DecodePassSize& size) const;
  /// The largest scratch that any call of any pass asks for.
  [[nodiscard]] std::int64_t workspace_bytes(const Architecture& model, const ParameterLayout& parameters,
                                             const BackendTraits& traits) const;
  /// What is kept of the positions of one layer, one sequence after the other.
  struct Cache {
    std::int64_t offset_bytes = 0;  // in the arena
    Shape sequence_shape;           // of one of S: (NKV, L, HS), or (L, C) of convolutions' inputs
  };
  [[nodiscard]] Cache key_cache(std::int64_t layer) const { return {layer * layer_bytes_, key_value_shape_}; }
  [[nodiscard]] Cache value_cache(std::int64_t layer) const {
    return {layer * layer_bytes_ + key_value_bytes_, key_value_shape_};
  }
  /// What the convolutions of attention and MLP read. Only of a model that has them.
  [[nodiscard]] Cache attention_input_cache(std::int64_t layer) const {
    return {layer * layer_bytes_ + 2 * key_value_bytes_, input_shape_};
  }
  [[nodiscard]] Cache mlp_input_cache(std::int64_t layer) const {
    return {layer * layer_bytes_ + 2 * key_value_bytes_ + input_bytes_, input_shape_};
  }
  /// All of a layer.
  [[nodiscard]] std::vector<Cache> layer_caches(std::int64_t layer) const;
  /// All caches of all layers, those of convolutions' inputs included.
  [[nodiscard]] std::int64_t cache_bytes() const { return all_caches_bytes_; }
  [[nodiscard]] const ArenaLayout& arena() const { return *arena_; }
  [[nodiscard]] std::int64_t arena_bytes() const { return arena_->arena_bytes(); }

 private:
  struct Recorded {
    Tape tape;
    std::size_t first_head_call = 0;
    TensorView tokens;
    TensorView logits;
  };
  /// Through the first `num_layers` layers.
  [[nodiscard]] Recorded record_calls(const Architecture& model, const ParameterLayout& parameters, const DecodePassSize& size,
                                      std::int64_t num_layers) const;

  DecodeShape shape_;
  std::int64_t max_rows_ = 1;
  Shape key_value_shape_;  // of one sequence, as input_shape_
  Shape input_shape_;
  std::int64_t key_value_bytes_ = 0;
  std::int64_t input_bytes_ = 0;  // 0 without convolutions
  std::int64_t layer_bytes_ = 0;
  std::int64_t all_caches_bytes_ = 0;
  std::vector<DecodePassSize> sizes_;
  std::shared_ptr<const ArenaLayout> arena_;  // of the largest pass
};

}  // namespace virgil
