// How the kernels cut their work into pieces, and so the scratch they need: functions of the sizes alone, whatever the device.
// Plain C++ without a header of CUDA's, so that a program without CUDA can plan for a GPU (cuda/cuda_traits.h). The functions
// are the host's; kernels are told what they return.
#pragma once

#include <algorithm>
#include <cstdint>

namespace virgil::cuda {

[[nodiscard]] constexpr std::int64_t pieces_of(std::int64_t count, std::int64_t piece) { return (count + piece - 1) / piece; }

/// attention.cu: what the backward pass knows of each row beforehand.
struct AttentionStatistics {
  static constexpr std::int64_t kRowBytes = 8;  // of RowStatistics
  static constexpr std::int64_t kPadding = 128;

  /// Rows of statistics of a head: every tile of rows ends within them, whatever the kernel.
  [[nodiscard]] static constexpr std::int64_t padded_length(std::int64_t length) {
    return pieces_of(length, kPadding) * kPadding;
  }
};

/// attention_decode.cu: splits of a sequence's positions.
struct DecodeSplits {
  static constexpr int kPositions = 128;  // of a block, and its threads
  static constexpr int kManyRows = 16;    // from so many new rows on, the forward pass is faster

  [[nodiscard]] static constexpr std::int64_t count(std::int64_t positions) { return pieces_of(positions, kPositions); }
  static constexpr int kStatistics = 2;  // of a row, beside its values: the largest score and the sum of weights
  /// What a split leaves of a row: these, and as many weighted values as a head is wide.
  [[nodiscard]] static constexpr std::int64_t floats(std::int64_t head_size) { return kStatistics + head_size; }
};

/// column_sums.cu
struct ColumnPieces {
  static constexpr std::int64_t kMost = 128;
  static constexpr std::int64_t kMinRows = 32;  // a piece

  [[nodiscard]] static constexpr std::int64_t rows(std::int64_t all_rows) {
    return std::max(kMinRows, pieces_of(all_rows, kMost));
  }
  [[nodiscard]] static constexpr std::int64_t count(std::int64_t all_rows) { return pieces_of(all_rows, rows(all_rows)); }
};

/// norm_backward.cu: a division of rows that keeps a large GPU busy, into more pieces where a row occupies few threads.
struct NormPieces {
  static constexpr std::int64_t kMinRows = 8;

  [[nodiscard]] static constexpr std::int64_t rows(std::int64_t all_rows, std::int64_t channels) {
    const std::int64_t most = std::clamp<std::int64_t>((1 << 19) / std::max<std::int64_t>(channels, 1), 128, 512);
    return std::max(kMinRows, pieces_of(all_rows, most));
  }
  [[nodiscard]] static constexpr std::int64_t count(std::int64_t all_rows, std::int64_t channels) {
    return pieces_of(all_rows, rows(all_rows, channels));
  }
};

/// embedding_backward.cu: rows of one token that a warp adds.
struct TokenChunks {
  /// At the least; a power of two. Work of a hot token's warps and of the combination balance.
  [[nodiscard]] static constexpr std::int64_t rows(std::int64_t all_rows) {
    std::int64_t chunk = 32;
    while (chunk * chunk < all_rows) chunk *= 2;
    return chunk;
  }
  [[nodiscard]] static constexpr std::int64_t slots(std::int64_t all_rows) { return pieces_of(all_rows, rows(all_rows)); }
};

/// token_sort.cu
struct SortTiles {
  static constexpr int kThreads = 1024;
  static constexpr int kDigits = 1 << 8;
  static constexpr std::int64_t kMost = 256;

  /// A multiple of the block, so that it takes whole steps.
  [[nodiscard]] static constexpr std::int64_t rows(std::int64_t all_rows) {
    return std::max<std::int64_t>(1, pieces_of(pieces_of(all_rows, kThreads), kMost)) * kThreads;
  }
  [[nodiscard]] static constexpr std::int64_t count(std::int64_t all_rows) { return pieces_of(all_rows, rows(all_rows)); }
  /// Of 32-bit numbers: two orders of the rows, begin and end of each token's run, and the places of each tile's digits.
  [[nodiscard]] static constexpr std::int64_t scratch_numbers(std::int64_t all_rows, std::int64_t vocab_rows) {
    return 2 * all_rows + 2 * vocab_rows + kDigits * count(all_rows);
  }
};

/// reductions.cu
struct ReductionPieces {
  static constexpr std::int64_t kMinElements = 16384;
  static constexpr std::int64_t kMost = 4096;

  /// A multiple of kMinElements, so that packs never straddle two.
  [[nodiscard]] static constexpr std::int64_t elements(std::int64_t all) {
    return std::max<std::int64_t>(1, pieces_of(pieces_of(all, kMinElements), kMost)) * kMinElements;
  }
  [[nodiscard]] static constexpr std::int64_t count(std::int64_t all) { return pieces_of(all, elements(all)); }
};

}  // namespace virgil::cuda
