#include "backend/cpu/cpu_backend.h"

#include <cmath>
#include <cstring>

#include "backend/cpu/adamw.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/column_sums.h"
#include "backend/cpu/cross_entropy.h"
#include "backend/cpu/dropout_backward.h"
#include "backend/cpu/embedding.h"
#include "backend/cpu/gelu.h"
#include "backend/cpu/layernorm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/reductions.h"
#include "backend/cpu/system_limits.h"
#include "backend/cpu/vector_target.h"
#include "virgil/backend/op_checks.h"

namespace virgil {

namespace cpu {

namespace {

void expect_float32(std::string_view op, DType dtype) { op_checks::expect_supported(op, dtype, {DType::kFloat32}); }

/// Null for an absent operand.
const float* optional_floats(const ConstTensorView& view) { return view.present() ? view.as<float>() : nullptr; }
float* optional_floats(const TensorView& view) { return view.present() ? view.as<float>() : nullptr; }

/// Grain of copies and fills, in bytes: whole pages.
constexpr std::int64_t kByteGrain = std::int64_t{1} << 16;

void copy_bytes(void* dst, const void* src, std::int64_t size_bytes, int num_threads) {
  parallel_ranges(size_bytes, kByteGrain, num_threads, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(dst) + begin, static_cast<const std::byte*>(src) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

}  // namespace

CpuBackend::CpuBackend(int num_threads) : num_threads_(num_threads), matmul_(num_threads), traits_(num_threads, matmul_) {}

std::string CpuBackend::description() const {
  return fmt::format("cpu: {} thread{}, {}, oneDNN {}", num_threads_, num_threads_ == 1 ? "" : "s", vector_target_name(),
                     OneDnnMatmul::library_version());
}

std::int64_t CpuBackend::available_bytes() const { return available_memory_bytes(); }

void CpuBackend::bind_workspace(std::span<std::byte> workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  VIRGIL_CHECK(address % HostMemoryResource::kAlignment == 0, "the workspace is not {}-byte aligned",
               HostMemoryResource::kAlignment);
  workspace_ = workspace;
}

void CpuBackend::copy_from_host(TensorView dst, std::span<const std::byte> src) {
  VIRGIL_CHECK(std::ssize(src) == dst.size_bytes(), "copy_from_host: {} bytes to a tensor of {}", src.size(), dst.size_bytes());
  copy_bytes(dst.data(), src.data(), dst.size_bytes(), num_threads_);
}

void CpuBackend::copy_to_host(std::span<std::byte> dst, ConstTensorView src) {
  VIRGIL_CHECK(std::ssize(dst) == src.size_bytes(), "copy_to_host: a tensor of {} bytes to {}", src.size_bytes(), dst.size());
  copy_bytes(dst.data(), src.data(), src.size_bytes(), num_threads_);
}

void CpuBackend::copy(TensorView dst, ConstTensorView src) {
  op_checks::copy(dst, src);
  copy_bytes(dst.data(), src.data(), dst.size_bytes(), num_threads_);
}

void CpuBackend::set_zero(TensorView dst) {
  parallel_ranges(dst.size_bytes(), kByteGrain, num_threads_, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(dst.data()) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}

void CpuBackend::embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                                   std::int64_t first_position, const Dropout& dropout) {
  const auto sizes = op_checks::embedding_forward(out, tokens, wte, wpe, first_position, dropout);
  expect_float32("embedding_forward", sizes.dtype);
  cpu::embedding_forward(out.as<float>(), tokens.as<std::int32_t>(), wte.as<float>(), wpe.as<float>(),
                         {sizes.batch, sizes.length, sizes.channels, wte.shape()[0], first_position}, dropout, context());
}

void CpuBackend::embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                                    const Dropout& dropout) {
  const auto sizes = op_checks::embedding_backward(dwte, dwpe, dout, tokens, dropout);
  expect_float32("embedding_backward", sizes.dtype);
  cpu::embedding_backward(dwte.as<float>(), dwpe.as<float>(), dout.as<float>(), tokens.as<std::int32_t>(),
                          {sizes.batch, sizes.length, sizes.channels, dwte.shape()[0], 0}, dropout, context());
}

void CpuBackend::layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp,
                                   ConstTensorView weight, ConstTensorView bias) {
  const auto sizes = op_checks::layernorm_forward(out, mean, rstd, inp, weight, bias);
  expect_float32("layernorm_forward", sizes.dtype);
  cpu::layernorm_forward(out.as<float>(), mean.as<float>(), rstd.as<float>(), inp.as<float>(), weight.as<float>(),
                         optional_floats(bias), sizes.rows, sizes.channels, context());
}

void CpuBackend::residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                            ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                            ConstTensorView bias, const Dropout& dropout) {
  const auto sizes =
      op_checks::residual_layernorm_forward(residual_out, out, mean, rstd, residual, branch, weight, bias, dropout);
  expect_float32("residual_layernorm_forward", sizes.dtype);
  cpu::residual_layernorm_forward({.residual_out = residual_out.as<float>(),
                                   .out = out.as<float>(),
                                   .mean = mean.as<float>(),
                                   .rstd = rstd.as<float>(),
                                   .residual = residual.as<float>(),
                                   .branch = branch.as<float>(),
                                   .weight = weight.as<float>(),
                                   .bias = optional_floats(bias),
                                   .batch = sizes.batch,
                                   .length = sizes.length,
                                   .channels = sizes.channels,
                                   .dropout = dropout},
                                  context());
}

void CpuBackend::layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout,
                                    ConstTensorView inp, ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) {
  const auto sizes = op_checks::layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd);
  expect_float32("layernorm_backward", sizes.dtype);
  cpu::layernorm_backward({.dinp = dinp.as<float>(),
                           .dweight = dweight.as<float>(),
                           .dbias = optional_floats(dbias),
                           .dout = dout.as<float>(),
                           .inp = inp.as<float>(),
                           .weight = weight.as<float>(),
                           .mean = mean.as<float>(),
                           .rstd = rstd.as<float>(),
                           .rows = sizes.rows,
                           .channels = sizes.channels},
                          context());
}

void CpuBackend::dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) {
  const auto sizes = op_checks::dropout_backward(dinp, dout, dropout);
  expect_float32("dropout_backward", sizes.dtype);
  cpu::dropout_backward(dinp.as<float>(), dout.as<float>(), sizes.batch * sizes.length, sizes.length, sizes.channels, dropout,
                        context());
}

void CpuBackend::matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
                        const MatmulOptions& options) {
  const MatmulShape shape = op_checks::matmul(out, a, b, bias, options);
  expect_float32("matmul", shape.dtype);
  matmul_.run(out.as<float>(), a.as<float>(), b.as<float>(), optional_floats(bias), shape, workspace_);
}

void CpuBackend::bias_backward(TensorView dbias, ConstTensorView dout) {
  const auto sizes = op_checks::bias_backward(dbias, dout);
  expect_float32("bias_backward", sizes.dtype);
  cpu::bias_backward(dbias.as<float>(), dout.as<float>(), sizes.rows, sizes.channels, context());
}

void CpuBackend::gelu_forward(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_forward(out, inp);
  expect_float32("gelu_forward", inp.dtype());
  cpu::gelu_forward(out.as<float>(), inp.as<float>(), num_elements, context());
}

void CpuBackend::gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_backward(dinp, dout, inp);
  expect_float32("gelu_backward", inp.dtype());
  cpu::gelu_backward(dinp.as<float>(), dout.as<float>(), inp.as<float>(), num_elements, context());
}

void CpuBackend::attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                                   const Dropout& dropout) {
  cpu::attention_forward(out, lse, qkv, num_heads, dropout, context());
}

void CpuBackend::attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv,
                                    ConstTensorView lse, std::int64_t num_heads, const Dropout& dropout) {
  cpu::attention_backward(dqkv, dout, out, qkv, lse, num_heads, dropout, context());
}

void CpuBackend::attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv,
                                  std::int64_t num_heads, std::int64_t first_position) {
  cpu::attention_decode(out, k_cache, v_cache, qkv, num_heads, first_position, context());
}

void CpuBackend::cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                                       std::int64_t vocab_size) {
  const auto sizes = op_checks::cross_entropy("cross_entropy_forward", losses, logits, targets, vocab_size);
  expect_float32("cross_entropy_forward", sizes.dtype);
  cpu::cross_entropy_forward(losses.as<float>(), logits.as<float>(), targets.as<std::int32_t>(),
                             {sizes.rows, sizes.channels, vocab_size}, context());
}

void CpuBackend::cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets,
                                                std::int64_t vocab_size, float grad_scale) {
  const auto sizes = op_checks::cross_entropy("cross_entropy_forward_backward", losses, logits, targets, vocab_size);
  expect_float32("cross_entropy_forward_backward", sizes.dtype);
  cpu::cross_entropy_forward_backward(losses.as<float>(), logits.as<float>(), targets.as<std::int32_t>(),
                                      {sizes.rows, sizes.channels, vocab_size}, grad_scale, context());
}

void CpuBackend::reduce_sum(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::reduction("reduce_sum", out, inp);
  expect_float32("reduce_sum", inp.dtype());
  *out.as<float>() = static_cast<float>(sum(inp.as<float>(), num_elements, context()));
}

void CpuBackend::l2_norm(TensorView out, ConstTensorView inp, float scale) {
  const std::int64_t num_elements = op_checks::reduction("l2_norm", out, inp);
  expect_float32("l2_norm", inp.dtype());
  const double norm = std::sqrt(sum_of_squares(inp.as<float>(), num_elements, context()));
  *out.as<float>() = static_cast<float>(norm * static_cast<double>(scale));
}

void CpuBackend::adamw_update(TensorView param, TensorView m, TensorView v, ConstTensorView grad, ConstTensorView norm,
                              const AdamWStep& step) {
  const std::int64_t num_elements = op_checks::adamw_update(param, m, v, grad, norm, step);
  expect_float32("adamw_update", param.dtype());
  expect_float32("adamw_update", grad.dtype());
  cpu::adamw_update(param.as<float>(), m.as<float>(), v.as<float>(), grad.as<float>(), num_elements, *norm.as<float>(), step,
                    context());
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  if (options.num_threads < 0) {
    throw user_error("threads is {}: give a positive number, or 0 for as many as the process may use", options.num_threads);
  }
  return std::make_unique<cpu::CpuBackend>(options.num_threads > 0 ? options.num_threads : cpu::available_threads());
}

}  // namespace virgil
