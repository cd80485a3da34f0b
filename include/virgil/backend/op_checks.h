// Argument checks that every backend runs at the entry of every op. They throw InternalError naming the op and the operand.
//
// Each op of Backend has one check, which returns the sizes the op works on. Vectors of one number per row (mean, rstd, losses,
// targets) may have any shape with that many elements.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "virgil/backend/backend.h"

namespace virgil::op_checks {

/// A tensor seen as rows of `channels` elements.
struct RowSizes {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  DType dtype = DType::kFloat32;
};

/// A (B, T, C) tensor.
struct SequenceSizes {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  DType dtype = DType::kFloat32;
};

/// `view` is present, has this shape and this dtype.
void expect(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape, DType dtype);
/// As expect, or absent.
void expect_optional(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape,
                     DType dtype);
/// `view` is present, has this many elements in any shape, and this dtype.
void expect_count(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t num_elements,
                  DType dtype);
/// `dtype` is one that this backend's op can compute in.
void expect_supported(std::string_view op, DType dtype, std::initializer_list<DType> supported);
/// The probability lies in [0, 1) and the first sequence is not negative.
void expect_dropout(std::string_view op, const Dropout& dropout);

/// One dtype and as many elements.
void copy(const ConstTensorView& dst, const ConstTensorView& src);
/// Two float tensors of as many elements. Returns their number.
[[nodiscard]] std::int64_t convert(const ConstTensorView& dst, const ConstTensorView& src);

[[nodiscard]] SequenceSizes embedding_forward(const ConstTensorView& out, const ConstTensorView& tokens,
                                              const ConstTensorView& wte, const ConstTensorView& wpe,
                                              std::int64_t first_position, const Dropout& dropout);
[[nodiscard]] SequenceSizes embedding_backward(const ConstTensorView& dwte, const ConstTensorView& dwpe,
                                               const ConstTensorView& dout, const ConstTensorView& tokens,
                                               const Dropout& dropout);

[[nodiscard]] RowSizes layernorm_forward(const ConstTensorView& out, const ConstTensorView& mean, const ConstTensorView& rstd,
                                         const ConstTensorView& inp, const ConstTensorView& weight,
                                         const ConstTensorView& bias);
[[nodiscard]] SequenceSizes residual_layernorm_forward(const ConstTensorView& residual_out, const ConstTensorView& out,
                                                       const ConstTensorView& mean, const ConstTensorView& rstd,
                                                       const ConstTensorView& residual, const ConstTensorView& branch,
                                                       const ConstTensorView& weight, const ConstTensorView& bias,
                                                       const Dropout& dropout);
[[nodiscard]] RowSizes layernorm_backward(const ConstTensorView& dinp, const ConstTensorView& dweight,
                                          const ConstTensorView& dbias, const ConstTensorView& dout, const ConstTensorView& inp,
                                          const ConstTensorView& weight, const ConstTensorView& mean,
                                          const ConstTensorView& rstd);
[[nodiscard]] SequenceSizes dropout_backward(const ConstTensorView& dinp, const ConstTensorView& dout, const Dropout& dropout);

/// Sizes of a matmul, checked for agreement of all operands; the shape's dtype is that of a and b.
[[nodiscard]] MatmulShape matmul(const ConstTensorView& out, const ConstTensorView& a, const ConstTensorView& b,
                                 const ConstTensorView& bias, const MatmulOptions& options);
[[nodiscard]] RowSizes bias_backward(const ConstTensorView& dbias, const ConstTensorView& dout);

/// GELU, either way: all operands have the shape and the dtype of inp. Returns the number of elements.
[[nodiscard]] std::int64_t gelu_forward(const ConstTensorView& out, const ConstTensorView& inp);
[[nodiscard]] std::int64_t gelu_backward(const ConstTensorView& dinp, const ConstTensorView& dout, const ConstTensorView& inp);
/// Returns the product's shape.
[[nodiscard]] MatmulShape matmul_gelu_backward(const ConstTensorView& dinp, const ConstTensorView& dout,
                                               const ConstTensorView& weight, const ConstTensorView& hidden);

/// Sizes of attention from qkv (B, T, 3C); checks head count, head size (multiple of 8 up to 128) and dropout range.
[[nodiscard]] AttentionShape attention(std::string_view op, const ConstTensorView& qkv, std::int64_t num_heads,
                                       const Dropout& dropout);

/// Logits (N, Vp), of which vocab_size columns count.
[[nodiscard]] RowSizes cross_entropy(std::string_view op, const ConstTensorView& losses, const ConstTensorView& logits,
                                     const ConstTensorView& targets, std::int64_t vocab_size);

/// out (1) from any float tensor. Returns the number of elements of inp.
[[nodiscard]] std::int64_t reduction(std::string_view op, const ConstTensorView& out, const ConstTensorView& inp);
/// Returns the number of parameters.
[[nodiscard]] std::int64_t adamw_update(const ConstTensorView& param, const ConstTensorView& working, const ConstTensorView& m,
                                        const ConstTensorView& v, const ConstTensorView& grad, const ConstTensorView& norm,
                                        const AdamWStep& step);

}  // namespace virgil::op_checks
