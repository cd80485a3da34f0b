#include "virgil/backend/op_checks.h"

#include <algorithm>
#include <string>

namespace virgil::op_checks {

namespace {

void expect_present(std::string_view op, std::string_view operand, const ConstTensorView& view, DType dtype) {
  VIRGIL_CHECK(view.present(), "{}: {} is absent", op, operand);
  VIRGIL_CHECK(view.dtype() == dtype, "{}: {} is {}, expected {}", op, operand, name_of(view.dtype()), name_of(dtype));
}

void expect_float(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  VIRGIL_CHECK(view.present(), "{}: {} is absent", op, operand);
  VIRGIL_CHECK(view.dtype() != DType::kInt32, "{}: {} is int32, expected a float type", op, operand);
}

void expect_rank(std::string_view op, std::string_view operand, const ConstTensorView& view, int rank) {
  VIRGIL_CHECK(view.shape().rank() == rank, "{}: {} has shape {}, expected {} dimensions", op, operand,
               view.shape().to_string(), rank);
}

SequenceSizes sequence(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  expect_float(op, operand, view);
  expect_rank(op, operand, view, 3);
  const Shape& shape = view.shape();
  return {shape[0], shape[1], shape[2], view.dtype()};
}

RowSizes rows_of(std::string_view op, std::string_view operand, const ConstTensorView& view) {
  expect_float(op, operand, view);
  VIRGIL_CHECK(view.shape().rank() >= 1, "{}: {} is a scalar, expected (..., C)", op, operand);
  return {view.shape().num_rows(), view.shape()[-1], view.dtype()};
}

/// A table (rows, C) with any number of rows that is at least min_rows.
void expect_table(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t channels,
                  DType dtype, std::int64_t min_rows) {
  expect_present(op, operand, view, dtype);
  expect_rank(op, operand, view, 2);
  VIRGIL_CHECK(view.shape()[1] == channels && view.shape()[0] >= min_rows, "{}: {} has shape {}, expected ({} or more, {})", op,
               operand, view.shape().to_string(), min_rows, channels);
}

}  // namespace

void expect(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape, DType dtype) {
  expect_present(op, operand, view, dtype);
  VIRGIL_CHECK(view.shape() == shape, "{}: {} has shape {}, expected {}", op, operand, view.shape().to_string(),
               shape.to_string());
}

void expect_optional(std::string_view op, std::string_view operand, const ConstTensorView& view, const Shape& shape,
                     DType dtype) {
  if (view.present()) expect(op, operand, view, shape, dtype);
}

void expect_count(std::string_view op, std::string_view operand, const ConstTensorView& view, std::int64_t num_elements,
                  DType dtype) {
  expect_present(op, operand, view, dtype);
  VIRGIL_CHECK(view.num_elements() == num_elements, "{}: {} has shape {}, expected {} elements", op, operand,
               view.shape().to_string(), num_elements);
}

void expect_supported(std::string_view op, DType dtype, std::initializer_list<DType> supported) {
  const bool found = std::find(supported.begin(), supported.end(), dtype) != supported.end();
  std::string names;
  for (const DType candidate : supported) {
    names += names.empty() ? "" : ", ";
    names += name_of(candidate);
  }
  VIRGIL_CHECK(found, "{}: this backend computes in {}, the tensors are {}", op, names, name_of(dtype));
}

void expect_dropout(std::string_view op, const Dropout& dropout) {
  VIRGIL_CHECK(dropout.p >= 0 && dropout.p < 1, "{}: dropout probability {} is outside [0, 1)", op, dropout.p);
  VIRGIL_CHECK(dropout.first_sequence >= 0, "{}: dropout's first sequence is {}", op, dropout.first_sequence);
}

void copy(const ConstTensorView& dst, const ConstTensorView& src) {
  VIRGIL_CHECK(src.present(), "copy: src is absent");
  expect_count("copy", "dst", dst, src.num_elements(), src.dtype());
}

std::int64_t convert(const ConstTensorView& dst, const ConstTensorView& src) {
  expect_float("convert", "src", src);
  expect_float("convert", "dst", dst);
  expect_count("convert", "dst", dst, src.num_elements(), dst.dtype());
  return src.num_elements();
}

SequenceSizes embedding_forward(const ConstTensorView& out, const ConstTensorView& tokens, const ConstTensorView& wte,
                                const ConstTensorView& wpe, std::int64_t first_position, const Dropout& dropout) {
  constexpr std::string_view kOp = "embedding_forward";
  const SequenceSizes sizes = sequence(kOp, "out", out);
  VIRGIL_CHECK(first_position >= 0, "{}: first_position is {}", kOp, first_position);
  expect(kOp, "tokens", tokens, {sizes.batch, sizes.length}, DType::kInt32);
  expect_table(kOp, "wte", wte, sizes.channels, sizes.dtype, 1);
  expect_table(kOp, "wpe", wpe, sizes.channels, sizes.dtype, checked_add(first_position, sizes.length));
  expect_dropout(kOp, dropout);
  return sizes;
}

SequenceSizes embedding_backward(const ConstTensorView& dwte, const ConstTensorView& dwpe, const ConstTensorView& dout,
                                 const ConstTensorView& tokens, const Dropout& dropout) {
  constexpr std::string_view kOp = "embedding_backward";
  const SequenceSizes sizes = sequence(kOp, "dout", dout);
  expect(kOp, "tokens", tokens, {sizes.batch, sizes.length}, DType::kInt32);
  expect_table(kOp, "dwte", dwte, sizes.channels, DType::kFloat32, 1);
  expect_table(kOp, "dwpe", dwpe, sizes.channels, DType::kFloat32, sizes.length);
  expect_dropout(kOp, dropout);
  return sizes;
}

RowSizes layernorm_forward(const ConstTensorView& out, const ConstTensorView& mean, const ConstTensorView& rstd,
                           const ConstTensorView& inp, const ConstTensorView& weight, const ConstTensorView& bias) {
  constexpr std::string_view kOp = "layernorm_forward";
  const RowSizes sizes = rows_of(kOp, "inp", inp);
  expect(kOp, "out", out, inp.shape(), sizes.dtype);
  expect_count(kOp, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kOp, "rstd", rstd, sizes.rows, DType::kFloat32);
  expect(kOp, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kOp, "bias", bias, {sizes.channels}, sizes.dtype);
  return sizes;
}

SequenceSizes residual_layernorm_forward(const ConstTensorView& residual_out, const ConstTensorView& out,
                                         const ConstTensorView& mean, const ConstTensorView& rstd,
                                         const ConstTensorView& residual, const ConstTensorView& branch,
                                         const ConstTensorView& weight, const ConstTensorView& bias, const Dropout& dropout) {
  constexpr std::string_view kOp = "residual_layernorm_forward";
  const SequenceSizes sizes = sequence(kOp, "residual", residual);
  const std::int64_t rows = checked_multiply(sizes.batch, sizes.length);
  expect(kOp, "residual_out", residual_out, residual.shape(), sizes.dtype);
  expect(kOp, "out", out, residual.shape(), sizes.dtype);
  expect(kOp, "branch", branch, residual.shape(), sizes.dtype);
  expect_count(kOp, "mean", mean, rows, DType::kFloat32);
  expect_count(kOp, "rstd", rstd, rows, DType::kFloat32);
  expect(kOp, "weight", weight, {sizes.channels}, sizes.dtype);
  expect_optional(kOp, "bias", bias, {sizes.channels}, sizes.dtype);
  expect_dropout(kOp, dropout);
  return sizes;
}

RowSizes layernorm_backward(const ConstTensorView& dinp, const ConstTensorView& dweight, const ConstTensorView& dbias,
                            const ConstTensorView& dout, const ConstTensorView& inp, const ConstTensorView& weight,
                            const ConstTensorView& mean, const ConstTensorView& rstd) {
  constexpr std::string_view kOp = "layernorm_backward";
  const RowSizes sizes = rows_of(kOp, "inp", inp);
  expect(kOp, "dinp", dinp, inp.shape(), sizes.dtype);
  expect(kOp, "dout", dout, inp.shape(), sizes.dtype);
  expect(kOp, "weight", weight, {sizes.channels}, sizes.dtype);
  expect(kOp, "dweight", dweight, {sizes.channels}, DType::kFloat32);
  expect_optional(kOp, "dbias", dbias, {sizes.channels}, DType::kFloat32);
  expect_count(kOp, "mean", mean, sizes.rows, DType::kFloat32);
  expect_count(kOp, "rstd", rstd, sizes.rows, DType::kFloat32);
  return sizes;
}

SequenceSizes dropout_backward(const ConstTensorView& dinp, const ConstTensorView& dout, const Dropout& dropout) {
  constexpr std::string_view kOp = "dropout_backward";
  const SequenceSizes sizes = sequence(kOp, "dout", dout);
  expect(kOp, "dinp", dinp, dout.shape(), sizes.dtype);
  expect_dropout(kOp, dropout);
  VIRGIL_CHECK(dropout.enabled(), "{}: there is no dropout to go back through; skip the call", kOp);
  return sizes;
}

MatmulShape matmul(const ConstTensorView& out, const ConstTensorView& a, const ConstTensorView& b, const ConstTensorView& bias,
                   const MatmulOptions& options) {
  constexpr std::string_view kOp = "matmul";
  const RowSizes out_sizes = rows_of(kOp, "out", out);
  const RowSizes a_sizes = rows_of(kOp, "a", a);
  const RowSizes b_sizes = rows_of(kOp, "b", b);
  MatmulShape shape{.m = options.transpose_a ? a_sizes.channels : a_sizes.rows,
                    .n = options.transpose_b ? b_sizes.rows : b_sizes.channels,
                    .k = options.transpose_a ? a_sizes.rows : a_sizes.channels,
                    .dtype = a_sizes.dtype,
                    .out_dtype = out_sizes.dtype,
                    .has_bias = bias.present(),
                    .options = options};
  const std::int64_t b_inner = options.transpose_b ? b_sizes.channels : b_sizes.rows;
  VIRGIL_CHECK(b_inner == shape.k && out_sizes.rows == shape.m && out_sizes.channels == shape.n,
               "matmul: out {}, a {}{} and b {}{} do not agree", out.shape().to_string(), a.shape().to_string(),
               options.transpose_a ? " transposed" : "", b.shape().to_string(), options.transpose_b ? " transposed" : "");
  VIRGIL_CHECK(b_sizes.dtype == shape.dtype, "matmul: a is {}, b is {}", name_of(shape.dtype), name_of(b_sizes.dtype));
  VIRGIL_CHECK(out_sizes.dtype == shape.dtype || out_sizes.dtype == DType::kFloat32, "matmul: out is {}, a and b are {}",
               name_of(out_sizes.dtype), name_of(shape.dtype));
  expect_optional(kOp, "bias", bias, {shape.n}, shape.dtype);
  VIRGIL_CHECK(!(shape.has_bias && options.accumulate), "matmul: bias and accumulate exclude each other");
  return shape;
}

RowSizes bias_backward(const ConstTensorView& dbias, const ConstTensorView& dout) {
  const RowSizes sizes = rows_of("bias_backward", "dout", dout);
  expect("bias_backward", "dbias", dbias, {sizes.channels}, DType::kFloat32);
  return sizes;
}

std::int64_t gelu_forward(const ConstTensorView& out, const ConstTensorView& inp) {
  expect_float("gelu_forward", "inp", inp);
  expect("gelu_forward", "out", out, inp.shape(), inp.dtype());
  return inp.num_elements();
}

std::int64_t gelu_backward(const ConstTensorView& dinp, const ConstTensorView& dout, const ConstTensorView& inp) {
  expect_float("gelu_backward", "inp", inp);
  expect("gelu_backward", "dinp", dinp, inp.shape(), inp.dtype());
  expect("gelu_backward", "dout", dout, inp.shape(), inp.dtype());
  return inp.num_elements();
}

MatmulShape matmul_gelu_backward(const ConstTensorView& dinp, const ConstTensorView& dout, const ConstTensorView& weight,
                                 const ConstTensorView& hidden) {
  constexpr std::string_view kOp = "matmul_gelu_backward";
  const RowSizes out_sizes = rows_of(kOp, "dout", dout), sizes = rows_of(kOp, "hidden", hidden);
  VIRGIL_CHECK(out_sizes.rows == sizes.rows && out_sizes.dtype == sizes.dtype, "{}: dout is {} of {}, hidden {} of {}", kOp,
               dout.shape().to_string(), name_of(out_sizes.dtype), hidden.shape().to_string(), name_of(sizes.dtype));
  expect(kOp, "dinp", dinp, hidden.shape(), sizes.dtype);
  expect(kOp, "weight", weight, {sizes.channels, out_sizes.channels}, sizes.dtype);
  return {.m = sizes.rows,
          .n = sizes.channels,
          .k = out_sizes.channels,
          .dtype = sizes.dtype,
          .out_dtype = sizes.dtype,
          .has_bias = false,
          .options = {.transpose_b = true}};
}

AttentionShape attention(std::string_view op, const ConstTensorView& qkv, std::int64_t num_heads, const Dropout& dropout) {
  constexpr std::int64_t kHeadSizeStep = 8;
  constexpr std::int64_t kMaxHeadSize = 128;
  const SequenceSizes sizes = sequence(op, "qkv", qkv);
  VIRGIL_CHECK(num_heads > 0 && sizes.channels % (3 * num_heads) == 0, "{}: qkv {} does not hold q, k and v of {} heads", op,
               qkv.shape().to_string(), num_heads);
  const std::int64_t head_size = sizes.channels / (3 * num_heads);
  VIRGIL_CHECK(head_size > 0 && head_size <= kMaxHeadSize && head_size % kHeadSizeStep == 0,
               "{}: head size {} is not a multiple of {} up to {}", op, head_size, kHeadSizeStep, kMaxHeadSize);
  expect_dropout(op, dropout);
  return {sizes.batch, sizes.length, num_heads, head_size, sizes.dtype};
}

RowSizes cross_entropy(std::string_view op, const ConstTensorView& losses, const ConstTensorView& logits,
                       const ConstTensorView& targets, std::int64_t vocab_size) {
  const RowSizes sizes = rows_of(op, "logits", logits);
  VIRGIL_CHECK(vocab_size > 0 && vocab_size <= sizes.channels, "{}: vocab_size {} of logits {}", op, vocab_size,
               logits.shape().to_string());
  expect_count(op, "losses", losses, sizes.rows, DType::kFloat32);
  expect_count(op, "targets", targets, sizes.rows, DType::kInt32);
  return sizes;
}

std::int64_t reduction(std::string_view op, const ConstTensorView& out, const ConstTensorView& inp) {
  expect_float(op, "inp", inp);
  expect_count(op, "out", out, 1, DType::kFloat32);
  return inp.num_elements();
}

std::int64_t adamw_update(const ConstTensorView& param, const ConstTensorView& working, const ConstTensorView& m,
                          const ConstTensorView& v, const ConstTensorView& grad, const ConstTensorView& norm,
                          const AdamWStep& step) {
  constexpr std::string_view kOp = "adamw_update";
  const bool rounds_param = param.dtype() == DType::kBFloat16;
  expect_present(kOp, "param", param, rounds_param ? DType::kBFloat16 : DType::kFloat32);
  const std::int64_t num_elements = param.num_elements();
  if (working.present()) {
    VIRGIL_CHECK(!rounds_param, "{}: working weights beside bfloat16 parameters", kOp);
    const DType rounded = working.dtype() == DType::kFloat16 ? DType::kFloat16 : DType::kBFloat16;
    expect_count(kOp, "working", working, num_elements, rounded);
  }
  const DType moments = m.dtype() == DType::kBFloat16 ? DType::kBFloat16 : DType::kFloat32;
  expect_count(kOp, "m", m, num_elements, moments);
  expect_count(kOp, "v", v, num_elements, moments);
  expect_count(kOp, "grad", grad, num_elements, DType::kFloat32);
  expect_count(kOp, "norm", norm, 1, DType::kFloat32);
  VIRGIL_CHECK(step.t >= 1, "{}: step {} is not positive", kOp, step.t);
  VIRGIL_CHECK(step.first_index >= 0 && step.first_index % 4 == 0, "{}: first_index {} is not a multiple of 4", kOp,
               step.first_index);
  return num_elements;
}

}  // namespace virgil::op_checks
