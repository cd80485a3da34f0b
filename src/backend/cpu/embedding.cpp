#include "backend/cpu/embedding.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "backend/cpu/dropout_rows.h"
#include "backend/cpu/float_type.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/simd_targets.h"
#include "backend/cpu/type_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/embedding.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/philox_simd-inl.h"
#include "backend/cpu/simd-inl.h"

#ifndef VIRGIL_CPU_EMBEDDING_ONCE
#define VIRGIL_CPU_EMBEDDING_ONCE
namespace virgil::cpu {

template <typename T>
struct EmbeddingForward {
  T* out;
  const std::int32_t* tokens;
  const T* wte;
  const T* wpe;  // null: none
  EmbeddingSizes sizes;
  Dropout dropout;
};

template <typename T>
struct EmbeddingBackward {
  float* dwte;
  float* dwpe;  // null: none
  const T* dout;
  const std::int32_t* tokens;
  EmbeddingSizes sizes;
  Dropout dropout;
};

/// Channels handled at a time, so that the dropout multipliers fit a small array.
inline constexpr std::int64_t kEmbeddingChunk = 1024;

}  // namespace virgil::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace virgil::cpu {
namespace HWY_NAMESPACE {

template <typename Element>
HWY_INLINE void embedding_forward_rows(const EmbeddingForward<Element>& op, std::int64_t first_row, std::int64_t last_row) {
  const auto& [B, T, C, Vp, first_position] = op.sizes;
  const DropoutMask mask(op.dropout);
  const DropoutRows dropout_rows(op.dropout, T, C);
  const bool dropping = op.dropout.enabled();
  HWY_ALIGN float multiplier[kEmbeddingChunk];
  for (std::int64_t row = first_row; row < last_row; ++row) {
    const Element* token_row = op.wte + op.tokens[row] * C;
    const Element* position_row = op.wpe == nullptr ? nullptr : op.wpe + (first_position + row % T) * C;
    Element* out_row = op.out + row * C;
    for (std::int64_t c = 0; c < C; c += kEmbeddingChunk) {
      const auto n = static_cast<std::size_t>(std::min(kEmbeddingChunk, C - c));
      if (dropping) mask.fill(dropout_rows.base(row) + static_cast<std::uint64_t>(c), n, multiplier);
      for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR {
        FloatVector sum = part.load(token_row + c + i);
        if (position_row != nullptr) sum = hn::Add(sum, part.load(position_row + c + i));
        if (dropping) sum = hn::Mul(sum, part.load(multiplier + i));
        part.store(sum, out_row + c + i);
      });
    }
  }
}

/// All rows, in order, but only channels [first_channel, last_channel): threads never add to the same element.
template <typename Element>
HWY_INLINE void embedding_backward_channels(const EmbeddingBackward<Element>& op, std::int64_t first_channel,
                                            std::int64_t last_channel) {
  const auto& [B, T, C, Vp, first_position] = op.sizes;
  const DropoutMask mask(op.dropout);
  const DropoutRows dropout_rows(op.dropout, T, C);
  const bool dropping = op.dropout.enabled();
  HWY_ALIGN float multiplier[kEmbeddingChunk];
  for (std::int64_t row = 0; row < B * T; ++row) {
    const Element* dout_row = op.dout + row * C;
    float* dtoken_row = op.dwte + op.tokens[row] * C;
    float* dposition_row = op.dwpe == nullptr ? nullptr : op.dwpe + row % T * C;
    for (std::int64_t c = first_channel; c < last_channel; c += kEmbeddingChunk) {
      const auto n = static_cast<std::size_t>(std::min(kEmbeddingChunk, last_channel - c));
      if (dropping) mask.fill(dropout_rows.base(row) + static_cast<std::uint64_t>(c), n, multiplier);
      for_each_vector(n, [&](std::size_t i, auto part) HWY_ATTR {
        FloatVector d = part.load(dout_row + c + i);
        if (dropping) d = hn::Mul(d, part.load(multiplier + i));
        part.store(hn::Add(part.load(dtoken_row + c + i), d), dtoken_row + c + i);
        if (dposition_row != nullptr) part.store(hn::Add(part.load(dposition_row + c + i), d), dposition_row + c + i);
      });
    }
  }
}

HWY_ATTR void embedding_forward_rows_float32(const EmbeddingForward<float>& op, std::int64_t first_row, std::int64_t last_row) {
  embedding_forward_rows(op, first_row, last_row);
}
HWY_ATTR void embedding_forward_rows_bfloat16(const EmbeddingForward<BFloat16>& op, std::int64_t first_row,
                                              std::int64_t last_row) {
  embedding_forward_rows(op, first_row, last_row);
}
HWY_ATTR void embedding_backward_channels_float32(const EmbeddingBackward<float>& op, std::int64_t first_channel,
                                                  std::int64_t last_channel) {
  embedding_backward_channels(op, first_channel, last_channel);
}
HWY_ATTR void embedding_backward_channels_bfloat16(const EmbeddingBackward<BFloat16>& op, std::int64_t first_channel,
                                                   std::int64_t last_channel) {
  embedding_backward_channels(op, first_channel, last_channel);
}

}  // namespace HWY_NAMESPACE
}  // namespace virgil::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace virgil::cpu {

VIRGIL_EXPORT_PAIR(embedding_forward_rows);
VIRGIL_EXPORT_PAIR(embedding_backward_channels);

namespace {

/// Threads split channels at cache lines: a multiple of 4 for Philox, and of 16 so that two threads share no line for most C.
constexpr std::int64_t kChannelGrain = 16;

void check_tokens(std::string_view op, const std::int32_t* tokens, const EmbeddingSizes& sizes) {
  for (std::int64_t row = 0; row < sizes.batch * sizes.length; ++row) {
    VIRGIL_CHECK(tokens[row] >= 0 && tokens[row] < sizes.vocab_rows,
                 "{}: token {} at position {} of sequence {} is outside wte, which has {} rows", op, tokens[row],
                 row % sizes.length, row / sizes.length, sizes.vocab_rows);
  }
}

template <typename T>
void embedding_forward(T* out, const std::int32_t* tokens, const T* wte, const T* wpe, const EmbeddingSizes& sizes,
                       const Dropout& dropout, const CpuContext& context) {
  check_tokens("embedding_forward", tokens, sizes);
  const EmbeddingForward<T> op{out, tokens, wte, wpe, sizes, dropout};
  parallel_ranges(sizes.batch * sizes.length, 1, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, embedding_forward_rows)(op, begin, end);
  });
}

template <typename T>
void embedding_backward(float* dwte, float* dwpe, const T* dout, const std::int32_t* tokens, const EmbeddingSizes& sizes,
                        const Dropout& dropout, const CpuContext& context) {
  check_tokens("embedding_backward", tokens, sizes);
  const EmbeddingBackward<T> op{dwte, dwpe, dout, tokens, sizes, dropout};
  parallel_ranges(sizes.channels, kChannelGrain, context.num_threads, [&](std::int64_t begin, std::int64_t end) {
    VIRGIL_DISPATCH_PAIR(T, embedding_backward_channels)(op, begin, end);
  });
}

}  // namespace

void run(const ops::EmbeddingForward& op, const CpuContext& context) {
  const ops::SequenceSizes shape = op.check();
  const EmbeddingSizes sizes{shape.batch, shape.length, shape.channels, op.wte.shape()[0], op.first_position};
  with_float_type(op.kName, shape.dtype, [&]<typename T>(T) {
    const T* wpe = op.wpe.present() ? op.wpe.as<T>() : nullptr;
    embedding_forward(op.out.as<T>(), op.tokens.as<std::int32_t>(), op.wte.as<T>(), wpe, sizes, op.dropout, context);
  });
}

void run(const ops::EmbeddingBackward& op, const CpuContext& context) {
  const ops::SequenceSizes shape = op.check();
  const EmbeddingSizes sizes{shape.batch, shape.length, shape.channels, op.dwte.shape()[0], 0};
  with_float_type(op.kName, shape.dtype, [&]<typename T>(T) {
    float* dwpe = op.dwpe.present() ? op.dwpe.as<float>() : nullptr;
    embedding_backward(op.dwte.as<float>(), dwpe, op.dout.as<T>(), op.tokens.as<std::int32_t>(), sizes, op.dropout, context);
  });
}

}  // namespace virgil::cpu
#endif
