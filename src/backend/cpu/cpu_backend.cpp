#include "backend/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

#include "backend/cpu/adamw.h"
#include "backend/cpu/attention.h"
#include "backend/cpu/column_sums.h"
#include "backend/cpu/convert.h"
#include "backend/cpu/cross_entropy.h"
#include "backend/cpu/dropout_backward.h"
#include "backend/cpu/embedding.h"
#include "backend/cpu/float_type.h"
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

/// Null for an absent operand.
template <typename T>
const T* optional(const ConstTensorView& view) {
  return view.present() ? view.as<T>() : nullptr;
}
template <typename T>
T* optional(const TensorView& view) {
  return view.present() ? view.as<T>() : nullptr;
}

/// Grain of copies and fills, in bytes: whole pages.
constexpr std::int64_t kByteGrain = std::int64_t{1} << 16;

void copy_bytes(void* dst, const void* src, std::int64_t size_bytes, int num_threads) {
  parallel_ranges(size_bytes, kByteGrain, num_threads, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(dst) + begin, static_cast<const std::byte*>(src) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

}  // namespace

CpuBackend::CpuBackend(const CpuOptions& options)
    : num_threads_(options.num_threads),
      native_bfloat16_(options.native_bfloat16 && cpu_multiplies_bfloat16()),
      memory_(options.num_threads),
      matmul_({.num_threads = options.num_threads,
               .native_bfloat16 = options.native_bfloat16,
               .thread_invariant = options.thread_invariant}),
      traits_(options.num_threads, matmul_) {}

std::string CpuBackend::description() const {
  return fmt::format("cpu: {} thread{}, {}, oneDNN {}", num_threads_, num_threads_ == 1 ? "" : "s", vector_target_name(),
                     OneDnnMatmul::library_version());
}

std::int64_t CpuBackend::available_bytes() const { return available_memory_bytes(); }

std::span<const DType> CpuBackend::dtypes() const {
  static constexpr std::array kNative = {DType::kBFloat16, DType::kFloat32};
  static constexpr std::array kWidened = {DType::kFloat32, DType::kBFloat16};
  return native_bfloat16_ ? kNative : kWidened;
}

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

void CpuBackend::convert(TensorView dst, ConstTensorView src) {
  const std::int64_t num_elements = op_checks::convert(dst, src);
  if (dst.dtype() == src.dtype()) return copy_bytes(dst.data(), src.data(), dst.size_bytes(), num_threads_);
  with_float_type("convert", src.dtype(), [&]<typename From>(From) {
    using To = std::conditional_t<std::is_same_v<From, float>, BFloat16, float>;
    op_checks::expect_supported("convert", dst.dtype(), {DTypeOf<To>::value});
    cpu::convert(dst.as<To>(), src.as<From>(), num_elements, context());
  });
}

void CpuBackend::embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                                   std::int64_t first_position, const Dropout& dropout) {
  const auto sizes = op_checks::embedding_forward(out, tokens, wte, wpe, first_position, dropout);
  with_float_type("embedding_forward", sizes.dtype, [&]<typename T>(T) {
    cpu::embedding_forward(out.as<T>(), tokens.as<std::int32_t>(), wte.as<T>(), wpe.as<T>(),
                           {sizes.batch, sizes.length, sizes.channels, wte.shape()[0], first_position}, dropout, context());
  });
}

void CpuBackend::embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                                    const Dropout& dropout) {
  const auto sizes = op_checks::embedding_backward(dwte, dwpe, dout, tokens, dropout);
  with_float_type("embedding_backward", sizes.dtype, [&]<typename T>(T) {
    cpu::embedding_backward(dwte.as<float>(), dwpe.as<float>(), dout.as<T>(), tokens.as<std::int32_t>(),
                            {sizes.batch, sizes.length, sizes.channels, dwte.shape()[0], 0}, dropout, context());
  });
}

void CpuBackend::layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp,
                                   ConstTensorView weight, ConstTensorView bias) {
  const auto sizes = op_checks::layernorm_forward(out, mean, rstd, inp, weight, bias);
  with_float_type("layernorm_forward", sizes.dtype, [&]<typename T>(T) {
    cpu::layernorm_forward(out.as<T>(), mean.as<float>(), rstd.as<float>(), inp.as<T>(), weight.as<T>(), optional<T>(bias),
                           sizes.rows, sizes.channels, context());
  });
}

void CpuBackend::residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                            ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                            ConstTensorView bias, const Dropout& dropout) {
  const auto sizes =
      op_checks::residual_layernorm_forward(residual_out, out, mean, rstd, residual, branch, weight, bias, dropout);
  with_float_type("residual_layernorm_forward", sizes.dtype, [&]<typename T>(T) {
    cpu::residual_layernorm_forward(ResidualLayernormForward<T>{.residual_out = residual_out.as<T>(),
                                                                .out = out.as<T>(),
                                                                .mean = mean.as<float>(),
                                                                .rstd = rstd.as<float>(),
                                                                .residual = residual.as<T>(),
                                                                .branch = branch.as<T>(),
                                                                .weight = weight.as<T>(),
                                                                .bias = optional<T>(bias),
                                                                .batch = sizes.batch,
                                                                .length = sizes.length,
                                                                .channels = sizes.channels,
                                                                .dropout = dropout},
                                    context());
  });
}

void CpuBackend::layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout,
                                    ConstTensorView inp, ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) {
  const auto sizes = op_checks::layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd);
  with_float_type("layernorm_backward", sizes.dtype, [&]<typename T>(T) {
    cpu::layernorm_backward(LayernormBackward<T>{.dinp = dinp.as<T>(),
                                                 .dweight = dweight.as<float>(),
                                                 .dbias = optional<float>(dbias),
                                                 .dout = dout.as<T>(),
                                                 .inp = inp.as<T>(),
                                                 .weight = weight.as<T>(),
                                                 .mean = mean.as<float>(),
                                                 .rstd = rstd.as<float>(),
                                                 .rows = sizes.rows,
                                                 .channels = sizes.channels},
                            context());
  });
}

void CpuBackend::dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) {
  const auto sizes = op_checks::dropout_backward(dinp, dout, dropout);
  with_float_type("dropout_backward", sizes.dtype, [&]<typename T>(T) {
    cpu::dropout_backward(dinp.as<T>(), dout.as<T>(), sizes.batch * sizes.length, sizes.length, sizes.channels, dropout,
                          context());
  });
}

void CpuBackend::matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
                        const MatmulOptions& options) {
  const MatmulShape shape = op_checks::matmul(out, a, b, bias, options);
  op_checks::expect_supported("matmul", shape.dtype, {DType::kFloat32, DType::kBFloat16});
  matmul_.run(out.data(), a.data(), b.data(), bias.data(), shape, workspace_);
}

void CpuBackend::bias_backward(TensorView dbias, ConstTensorView dout) {
  const auto sizes = op_checks::bias_backward(dbias, dout);
  with_float_type("bias_backward", sizes.dtype, [&]<typename T>(T) {
    cpu::bias_backward(dbias.as<float>(), dout.as<T>(), sizes.rows, sizes.channels, context());
  });
}

void CpuBackend::gelu_forward(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_forward(out, inp);
  with_float_type("gelu_forward", inp.dtype(),
                  [&]<typename T>(T) { cpu::gelu_forward(out.as<T>(), inp.as<T>(), num_elements, context()); });
}

void CpuBackend::gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_backward(dinp, dout, inp);
  with_float_type("gelu_backward", inp.dtype(),
                  [&]<typename T>(T) { cpu::gelu_backward(dinp.as<T>(), dout.as<T>(), inp.as<T>(), num_elements, context()); });
}

void CpuBackend::matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) {
  const MatmulShape shape = op_checks::matmul_gelu_backward(dinp, dout, weight, hidden);
  matmul(dinp, dout, weight, {}, shape.options);
  gelu_backward(dinp, dinp, hidden);
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
  with_float_type("cross_entropy_forward", sizes.dtype, [&]<typename T>(T) {
    cpu::cross_entropy_forward(losses.as<float>(), logits.as<T>(), targets.as<std::int32_t>(),
                               {sizes.rows, sizes.channels, vocab_size}, context());
  });
}

void CpuBackend::cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets,
                                                std::int64_t vocab_size, float grad_scale) {
  const auto sizes = op_checks::cross_entropy("cross_entropy_forward_backward", losses, logits, targets, vocab_size);
  with_float_type("cross_entropy_forward_backward", sizes.dtype, [&]<typename T>(T) {
    cpu::cross_entropy_forward_backward(losses.as<float>(), logits.as<T>(), targets.as<std::int32_t>(),
                                        {sizes.rows, sizes.channels, vocab_size}, grad_scale, context());
  });
}

void CpuBackend::reduce_sum(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::reduction("reduce_sum", out, inp);
  with_float_type("reduce_sum", inp.dtype(),
                  [&]<typename T>(T) { *out.as<float>() = static_cast<float>(sum(inp.as<T>(), num_elements, context())); });
}

void CpuBackend::l2_norm(TensorView out, ConstTensorView inp, float scale) {
  const std::int64_t num_elements = op_checks::reduction("l2_norm", out, inp);
  with_float_type("l2_norm", inp.dtype(), [&]<typename T>(T) {
    const double norm = std::sqrt(sum_of_squares(inp.as<T>(), num_elements, context()));
    *out.as<float>() = static_cast<float>(norm * static_cast<double>(scale));
  });
}

void CpuBackend::adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                              ConstTensorView norm, const AdamWStep& step) {
  const std::int64_t num_elements = op_checks::adamw_update(param, working, m, v, grad, norm, step);
  if (working.present()) op_checks::expect_supported("adamw_update", working.dtype(), {DType::kBFloat16});
  with_float_type("adamw_update", param.dtype(), [&]<typename Param>(Param) {
    with_float_type("adamw_update", m.dtype(), [&]<typename Moment>(Moment) {
      const AdamWTensors<Param, Moment> tensors{.param = param.as<Param>(),
                                                .working = optional<BFloat16>(working),
                                                .m = m.as<Moment>(),
                                                .v = v.as<Moment>(),
                                                .grad = grad.as<float>()};
      cpu::adamw_update(tensors, num_elements, *norm.as<float>(), step, context());
    });
  });
}

}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options) {
  if (options.num_threads < 0) {
    throw user_error("threads is {}: give a positive number, or 0 for as many as the process may use", options.num_threads);
  }
  CpuOptions resolved = options;
  if (resolved.num_threads == 0) resolved.num_threads = cpu::available_threads();
  return std::make_unique<cpu::CpuBackend>(resolved);
}

}  // namespace virgil
