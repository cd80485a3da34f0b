#include "virgil/model/decoder_layout.h"

#include <algorithm>

#include "virgil/base/error.h"

namespace virgil {

DecoderLayout::DecoderLayout(const ModelConfig& config, const DecodeShape& shape, std::int64_t alignment_bytes)
    : shape_(shape), offsets_(kNumDecodeTensors) {
  VIRGIL_CHECK(shape.max_length >= 1 && shape.max_length <= config.block_size(), "max_length {} of block_size {}",
               shape.max_length, config.block_size());
  VIRGIL_CHECK(shape.num_sequences >= 1, "{} sequences", shape.num_sequences);
  for (const std::int64_t rows : kPrefillRows) {
    if (rows <= shape.max_length) max_rows_ = std::max(max_rows_, rows);
  }
  const std::int64_t S = shape.num_sequences;
  const std::int64_t C = config.embedding_dim();
  const std::int64_t rows = checked_multiply(S, max_rows_);
  std::int64_t end = 0;
  const auto reserve = [&](std::int64_t elements, std::int64_t element_bytes) {
    const std::int64_t offset = end;
    end = checked_add(end, round_up(checked_multiply(elements, element_bytes), alignment_bytes));
    return offset;
  };
  const std::int64_t element_bytes = size_of(shape.dtype);
  const auto set = [&](DecodeTensor tensor, std::int64_t elements, std::int64_t bytes) {
    offsets_[static_cast<std::size_t>(tensor)] = reserve(elements, bytes);
  };
  using enum DecodeTensor;
  const std::int64_t row_elements = checked_multiply(rows, C);
  for (const DecodeTensor tensor : {kResidual, kResidualMid, kNorm, kAttention, kBranch})
    set(tensor, row_elements, element_bytes);
  set(kQkv, checked_multiply(3, row_elements), element_bytes);
  set(kMlpHidden, checked_multiply(rows, config.d_ff()), element_bytes);
  set(kMean, rows, size_of(DType::kFloat32));
  set(kRstd, rows, size_of(DType::kFloat32));
  set(kLastRows, checked_multiply(S, C), element_bytes);
  set(kLogits, checked_multiply(S, config.padded_vocab_size()), size_of(DType::kFloat32));
  set(kTokens, rows, size_of(DType::kInt32));
  caches_ = end;
  const std::int64_t cache_elements = checked_multiply(checked_multiply(S, shape.max_length), C);
  cache_bytes_ = round_up(checked_multiply(cache_elements, element_bytes), alignment_bytes);
  arena_bytes_ = checked_add(caches_, checked_multiply(checked_multiply(2, config.num_layers()), cache_bytes_));
}

}  // namespace virgil
