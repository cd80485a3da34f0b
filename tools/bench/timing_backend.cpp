#include "bench/timing_backend.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "virgil/backend/op_checks.h"

namespace virgil::bench {

namespace {

/// Bytes of operands that are read or written once; an operand that is updated is named twice.
double bytes_of(std::initializer_list<ConstTensorView> operands) {
  double bytes = 0;
  for (const ConstTensorView& operand : operands) {
    if (operand.present()) bytes += static_cast<double>(operand.size_bytes());
  }
  return bytes;
}

double matmul_flops(const MatmulShape& s) {
  return 2 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
}

/// Products of queries and keys, and of probabilities and values, under a causal mask: one each in the forward pass.
double attention_product_flops(const ConstTensorView& qkv) {
  const Shape& s = qkv.shape();
  const auto pairs = static_cast<double>(s[1]) * static_cast<double>(s[1] + 1) / 2;
  return 2 * pairs * static_cast<double>(s[0]) * static_cast<double>(s[2] / 3);
}

}  // namespace

template <typename Op>
void TimingBackend::time(const std::string& name, const std::string& shape, const std::string& family, const OpCost& cost,
                         const Op& op) {
  if (device_timer_ != nullptr) {
    const std::size_t first = device_timer_->mark();
    op();
    pending_.push_back({name, shape, family, cost, first, device_timer_->mark()});
    return;
  }
  inner_.synchronize();  // copies and conversions, which are not timed, may still be under way
  const Clock::time_point start = Clock::now();
  op();
  inner_.synchronize();
  timer_.add(name, shape, family, cost, milliseconds_since(start));
}

void TimingBackend::end_round() {
  for (const Pending& op : pending_) {
    timer_.add(op.name, op.shape, op.family, op.cost, device_timer_->milliseconds_between(op.first_mark, op.last_mark));
  }
  pending_.clear();
  if (device_timer_ != nullptr) device_timer_->reset();
}

void TimingBackend::set_zero(TensorView dst) {
  time("set_zero", dst.shape().to_string(), "set_zero", {0, bytes_of({dst})}, [&] { inner_.set_zero(dst); });
}

void TimingBackend::embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                                      std::int64_t first_position, const Dropout& dropout) {
  time("embedding_forward", out.shape().to_string(), "embedding", {0, bytes_of({out, out, tokens})},
       [&] { inner_.embedding_forward(out, tokens, wte, wpe, first_position, dropout); });
}

void TimingBackend::embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                                       const Dropout& dropout) {
  time("embedding_backward", dout.shape().to_string(), "embedding", {0, bytes_of({dout, tokens})},
       [&] { inner_.embedding_backward(dwte, dwpe, dout, tokens, dropout); });
}

void TimingBackend::layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp,
                                      ConstTensorView weight, ConstTensorView bias) {
  time("layernorm_forward", inp.shape().to_string(), "layernorm", {0, bytes_of({out, mean, rstd, inp})},
       [&] { inner_.layernorm_forward(out, mean, rstd, inp, weight, bias); });
}

void TimingBackend::residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                               ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                               ConstTensorView bias, const Dropout& dropout) {
  time("residual_layernorm_forward", branch.shape().to_string(), "layernorm",
       {0, bytes_of({residual_out, out, mean, rstd, residual, branch})},
       [&] { inner_.residual_layernorm_forward(residual_out, out, mean, rstd, residual, branch, weight, bias, dropout); });
}

void TimingBackend::layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout,
                                       ConstTensorView inp, ConstTensorView weight, ConstTensorView mean,
                                       ConstTensorView rstd) {
  time("layernorm_backward", inp.shape().to_string(), "layernorm", {0, bytes_of({dinp, dinp, dout, inp})},
       [&] { inner_.layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd); });
}

void TimingBackend::dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) {
  time("dropout_backward", dout.shape().to_string(), "dropout", {0, bytes_of({dinp, dout})},
       [&] { inner_.dropout_backward(dinp, dout, dropout); });
}

void TimingBackend::matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
                           const MatmulOptions& options) {
  const MatmulShape s = op_checks::matmul(out, a, b, bias, options);
  const std::string shape = fmt::format("m={} n={} k={}{}{}{}", s.m, s.n, s.k, options.transpose_a ? " a'" : "",
                                        options.transpose_b ? " b'" : "", options.accumulate ? " +=" : "");
  const OpCost cost{matmul_flops(s), bytes_of({out, a, b, bias, options.accumulate ? out : TensorView{}})};
  time("matmul", shape, "matmul", cost, [&] { inner_.matmul(out, a, b, bias, options); });
}

void TimingBackend::bias_backward(TensorView dbias, ConstTensorView dout) {
  time("bias_backward", dout.shape().to_string(), "bias", {0, bytes_of({dout})}, [&] { inner_.bias_backward(dbias, dout); });
}

void TimingBackend::gelu_forward(TensorView out, ConstTensorView inp) {
  time("gelu_forward", inp.shape().to_string(), "gelu", {0, bytes_of({out, inp})}, [&] { inner_.gelu_forward(out, inp); });
}

void TimingBackend::gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) {
  time("gelu_backward", inp.shape().to_string(), "gelu", {0, bytes_of({dinp, dout, inp})},
       [&] { inner_.gelu_backward(dinp, dout, inp); });
}

void TimingBackend::matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight,
                                         ConstTensorView hidden) {
  const MatmulShape s = op_checks::matmul_gelu_backward(dinp, dout, weight, hidden);
  const OpCost cost{matmul_flops(s), bytes_of({dinp, dout, weight, hidden})};
  time("matmul_gelu_backward", fmt::format("m={} n={} k={} b'", s.m, s.n, s.k), "matmul", cost,
       [&] { inner_.matmul_gelu_backward(dinp, dout, weight, hidden); });
}

void TimingBackend::attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                                      const Dropout& dropout) {
  time("attention_forward", fmt::format("{} {} heads", qkv.shape().to_string(), num_heads), "attention",
       {2 * attention_product_flops(qkv), bytes_of({out, lse, qkv})},
       [&] { inner_.attention_forward(out, lse, qkv, num_heads, dropout); });
}

void TimingBackend::attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv,
                                       ConstTensorView lse, std::int64_t num_heads, const Dropout& dropout) {
  time("attention_backward", fmt::format("{} {} heads", qkv.shape().to_string(), num_heads), "attention",
       {5 * attention_product_flops(qkv), bytes_of({dqkv, dout, out, qkv, lse})},
       [&] { inner_.attention_backward(dqkv, dout, out, qkv, lse, num_heads, dropout); });
}

void TimingBackend::attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv,
                                     std::int64_t num_heads, std::int64_t first_position) {
  const Shape& s = qkv.shape();
  const auto rows = static_cast<double>(s[0] * s[1]);
  const auto channels = static_cast<double>(s[2] / 3);
  const auto keys = static_cast<double>(first_position) + static_cast<double>(s[1] + 1) / 2;
  const auto element_bytes = static_cast<double>(size_of(qkv.dtype()));
  const double cache_bytes = 2 * static_cast<double>(s[0] * (first_position + s[1])) * channels * element_bytes;
  time("attention_decode", fmt::format("{} {} heads", s.to_string(), num_heads), "attention",
       {4 * rows * keys * channels, cache_bytes + bytes_of({out, qkv})},
       [&] { inner_.attention_decode(out, k_cache, v_cache, qkv, num_heads, first_position); });
}

void TimingBackend::cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                                          std::int64_t vocab_size) {
  time("cross_entropy_forward", logits.shape().to_string(), "cross_entropy", {0, bytes_of({losses, logits, targets})},
       [&] { inner_.cross_entropy_forward(losses, logits, targets, vocab_size); });
}

void TimingBackend::cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets,
                                                   std::int64_t vocab_size, float grad_scale) {
  time("cross_entropy_forward_backward", logits.shape().to_string(), "cross_entropy",
       {0, bytes_of({losses, logits, logits, targets})},
       [&] { inner_.cross_entropy_forward_backward(losses, logits, targets, vocab_size, grad_scale); });
}

void TimingBackend::reduce_sum(TensorView out, ConstTensorView inp) {
  time("reduce_sum", inp.shape().to_string(), "cross_entropy", {0, bytes_of({inp})}, [&] { inner_.reduce_sum(out, inp); });
}

void TimingBackend::l2_norm(TensorView out, ConstTensorView inp, float scale) {
  time("l2_norm", inp.shape().to_string(), "optimizer", {0, bytes_of({inp})}, [&] { inner_.l2_norm(out, inp, scale); });
}

void TimingBackend::adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                                 ConstTensorView norm, const AdamWStep& step) {
  time("adamw_update", param.shape().to_string(), "optimizer", {0, bytes_of({param, param, working, m, m, v, v, grad})},
       [&] { inner_.adamw_update(param, working, m, v, grad, norm, step); });
}

}  // namespace virgil::bench
