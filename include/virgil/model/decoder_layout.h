// Memory of token-by-token generation: the key and value caches and the activations of one forward pass over a few new rows.
#pragma once

#include <cstdint>
#include <vector>

#include "virgil/base/dtype.h"
#include "virgil/base/shape.h"
#include "virgil/model/model_config.h"

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

enum class DecodeTensor : std::uint8_t {
  kResidual,     // (S, n, C)
  kResidualMid,  // (S, n, C)
  kNorm,         // (S, n, C)
  kMean,         // (S * n) float32
  kRstd,         // (S * n) float32
  kQkv,          // (S, n, 3C)
  kAttention,    // (S, n, C)
  kBranch,       // (S, n, C)
  kMlpHidden,    // (S, n, d_ff)
  kLastRows,     // (S, C), the final layernorm of each sequence's last row
  kLogits,       // (S, Vp) float32
  kTokens,       // (S, n) int32
};
inline constexpr int kNumDecodeTensors = 12;

/// Pure function of its arguments. Offsets are bytes in one arena; tensors over rows are sized for the largest piece.
class DecoderLayout {
 public:
  DecoderLayout(const ModelConfig& config, const DecodeShape& shape, std::int64_t alignment_bytes);

  [[nodiscard]] std::int64_t offset_bytes(DecodeTensor tensor) const { return offsets_[static_cast<std::size_t>(tensor)]; }
  /// Offset of layer l's key cache (S, NH, L, HS).
  [[nodiscard]] std::int64_t key_cache_offset(std::int64_t layer) const { return caches_ + 2 * layer * cache_bytes_; }
  [[nodiscard]] std::int64_t value_cache_offset(std::int64_t layer) const { return caches_ + (2 * layer + 1) * cache_bytes_; }
  /// Both caches of all layers.
  [[nodiscard]] std::int64_t cache_bytes() const { return arena_bytes_ - caches_; }
  [[nodiscard]] std::int64_t arena_bytes() const { return arena_bytes_; }
  [[nodiscard]] const DecodeShape& shape() const { return shape_; }
  /// Largest n of a pass: the largest of kPrefillRows that is at most max_length.
  [[nodiscard]] std::int64_t max_rows() const { return max_rows_; }

 private:
  DecodeShape shape_;
  std::int64_t max_rows_ = 1;
  std::vector<std::int64_t> offsets_;
  std::int64_t caches_ = 0;
  std::int64_t cache_bytes_ = 0;
  std::int64_t arena_bytes_ = 0;
};

}  // namespace virgil
