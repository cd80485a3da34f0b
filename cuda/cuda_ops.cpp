#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "cuda/cuda_backend.h"
#include "cuda/kernels/adamw.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/causal_conv.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/convert.h"
#include "cuda/kernels/cross_entropy.h"
#include "cuda/kernels/embedding.h"
#include "cuda/kernels/gelu.h"
#include "cuda/kernels/glu.h"
#include "cuda/kernels/muon.h"
#include "cuda/kernels/norm.h"
#include "cuda/kernels/reductions.h"
#include "cuda/kernels/relu_squared.h"
#include "cuda/kernels/rotary.h"
#include "virgil/base/error.h"
#include "virgil/ops/call.h"

namespace virgil::cuda {

namespace {

/// Null for an absent operand.
template <typename View>
auto* floats_or_null(const View& view) {
  return view.present() ? view.template as<float>() : nullptr;
}

}  // namespace

/// How each op is run: what it is checked for, the scratch that it is given, and its kernel.
class CudaBackend::Ops {
 public:
  explicit Ops(CudaBackend& backend) : backend_(backend) {}

  void operator()(const ops::SetZero& op) const {
    op.check();
    if (op.dst.size_bytes() == 0) return;
    check(cudaMemsetAsync(op.dst.data(), 0, static_cast<std::size_t>(op.dst.size_bytes()), backend_.stream_.get()),
          "cudaMemsetAsync");
  }

  void operator()(const ops::Copy& op) const {
    op.check();
    if (op.dst.size_bytes() == 0) return;
    check(cudaMemcpyAsync(op.dst.data(), op.src.data(), static_cast<std::size_t>(op.dst.size_bytes()), cudaMemcpyDeviceToDevice,
                          backend_.stream_.get()),
          "cudaMemcpyAsync");
  }

  void operator()(const ops::Convert& op) const {
    op.check();
    if (op.dst.dtype() == op.src.dtype()) return (*this)(ops::Copy{op.dst, op.src});
    cuda::convert(backend_.context_, op.dst.dtype(), op.dst.data(), op.src.dtype(), op.src.data(), op.src.num_elements());
  }

  void operator()(const ops::EmbeddingForward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    cuda::embedding_forward(backend_.context_, sizes.dtype, op.out.data(), op.tokens.as<std::int32_t>(), op.wte.data(),
                            op.wpe.data(), {sizes.batch, sizes.length, sizes.channels, op.wte.shape()[0], op.first_position},
                            op.dropout);
  }

  void operator()(const ops::EmbeddingBackward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    const std::int64_t vocab_rows = op.dwte.shape()[0];
    const std::int64_t needed =
        backend_.traits_->embedding_backward_workspace_bytes(sizes.batch * sizes.length, sizes.channels, vocab_rows);
    cuda::embedding_backward(backend_.context_, sizes.dtype, op.dwte.as<float>(), floats_or_null(op.dwpe), op.dout.data(),
                             op.tokens.as<std::int32_t>(), {sizes.batch, sizes.length, sizes.channels, vocab_rows, 0},
                             op.dropout, backend_.workspace(op.kName, needed));
  }

  void operator()(const ops::NormForward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    cuda::norm_forward(backend_.context_, sizes.dtype,
                       {.out = op.out.data(),
                        .mean = floats_or_null(op.mean),
                        .rstd = op.rstd.as<float>(),
                        .residual = op.inp.data(),
                        .weight = op.weight.data(),
                        .bias = op.bias.data(),
                        .rows = sizes.rows,
                        .channels = sizes.channels,
                        .epsilon = op.epsilon});
  }

  void operator()(const ops::ResidualNormForward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    const ResidualNorm operands{.residual_out = op.residual_out.data(),
                                .out = op.out.data(),
                                .mean = floats_or_null(op.mean),
                                .rstd = op.rstd.as<float>(),
                                .residual = op.residual.data(),
                                .branch = op.branch.data(),
                                .weight = op.weight.data(),
                                .bias = op.bias.data(),
                                .rows = sizes.batch * sizes.length,
                                .channels = sizes.channels,
                                .length = sizes.length,
                                .epsilon = op.epsilon};
    cuda::residual_norm_forward(backend_.context_, sizes.dtype, operands, op.dropout);
  }

  void operator()(const ops::NormBackward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    const NormGradients operands{.dinp = op.dinp.data(),
                                 .dweight = op.dweight.as<float>(),
                                 .dbias = floats_or_null(op.dbias),
                                 .dout = op.dout.data(),
                                 .inp = op.inp.data(),
                                 .weight = op.weight.data(),
                                 .mean = floats_or_null(op.mean),
                                 .rstd = op.rstd.as<float>(),
                                 .rows = sizes.rows,
                                 .channels = sizes.channels};
    const std::int64_t needed = backend_.traits_->norm_backward_workspace_bytes(sizes.rows, sizes.channels);
    cuda::norm_backward(backend_.context_, sizes.dtype, operands, backend_.workspace(op.kName, needed));
  }

  void operator()(const ops::DropoutBackward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    cuda::dropout_backward(backend_.context_, sizes.dtype, op.dinp.data(), op.dout.data(), sizes.batch * sizes.length,
                           sizes.length, sizes.channels, op.dropout);
  }

  void operator()(const ops::Matmul& op) const {
    const MatmulShape shape = op.check();
    backend_.expect_supported(op.kName, shape.dtype);
    backend_.matmul_.run(op.out.data(), op.a.data(), op.b.data(), op.bias.data(), shape,
                         backend_.workspace(op.kName, backend_.matmul_.workspace_bytes()));
  }

  void operator()(const ops::BiasBackward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    const std::int64_t needed = backend_.traits_->column_sums_workspace_bytes(sizes.rows, sizes.channels);
    cuda::bias_backward(backend_.context_, sizes.dtype, op.dbias.as<float>(), op.dout.data(), sizes.rows, sizes.channels,
                        backend_.workspace(op.kName, needed));
  }

  void operator()(const ops::GeluForward& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::gelu_forward(backend_.context_, op.inp.dtype(), op.out.data(), op.inp.data(), num_elements);
  }

  void operator()(const ops::GeluBackward& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::gelu_backward(backend_.context_, op.inp.dtype(), op.dinp.data(), op.dout.data(), op.inp.data(), num_elements);
  }

  void operator()(const ops::ReluSquaredForward& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::relu_squared_forward(backend_.context_, op.inp.dtype(), op.out.data(), op.inp.data(), num_elements);
  }

  void operator()(const ops::ReluSquaredBackward& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::relu_squared_backward(backend_.context_, op.inp.dtype(), op.dinp.data(), op.dout.data(), op.inp.data(), num_elements);
  }

  void operator()(const ops::GluForward& op) const {
    const auto [rows, channels, dtype] = op.check();
    backend_.expect_supported(op.kName, dtype);
    cuda::glu_forward(backend_.context_, dtype, op.act, op.out.data(), op.inp.data(), {rows, channels});
  }

  void operator()(const ops::GluBackward& op) const {
    const auto [rows, channels, dtype] = op.check();
    backend_.expect_supported(op.kName, dtype);
    cuda::glu_backward(backend_.context_, dtype, op.act, op.dinp.data(), op.dout.data(), op.inp.data(), {rows, channels});
  }

  void operator()(const ops::MatmulGeluBackward& op) const {
    const MatmulShape shape = op.check();
    backend_.expect_supported(op.kName, shape.dtype);
    const std::span<std::byte> scratch = backend_.workspace(op.kName, backend_.matmul_.workspace_bytes());
    if (backend_.matmul_.run_with_gelu_backward(op.dinp.data(), op.dout.data(), op.weight.data(), op.hidden.data(), shape,
                                                scratch)) {
      return;
    }
    backend_.matmul_.run(op.dinp.data(), op.dout.data(), op.weight.data(), nullptr, shape, scratch);
    cuda::gelu_backward(backend_.context_, shape.dtype, op.dinp.data(), op.dinp.data(), op.hidden.data(),
                        op.hidden.num_elements());
  }

  void operator()(const ops::RotaryForward& op) const {
    rotary(op.kName, op.check(), op.out, op.inp, op.first_position, false, op.angles);
  }

  void operator()(const ops::RotaryBackward& op) const { rotary(op.kName, op.check(), op.dinp, op.dout, 0, true, op.angles); }

  void operator()(const ops::AttentionForward& op) const {
    const AttentionShape shape = op.check();
    backend_.expect_supported(op.kName, shape.dtype);
    const std::span<std::byte> scratch =
        backend_.workspace(op.kName, backend_.traits_->attention_forward_workspace_bytes(shape));
    if (CudnnAttention* const cudnn = backend_.attention_.cudnn_for(shape, op.dropout.enabled())) {
      return cudnn->forward(attention_sizes(shape), op.out.data(), op.lse.as<float>(), op.qkv.data(), op.dropout, scratch);
    }
    cuda::attention_forward(backend_.context_, attention_sizes(shape), op.out.data(), op.lse.as<float>(), op.qkv.data(),
                            op.dropout, scratch);
  }

  void operator()(const ops::AttentionBackward& op) const {
    const AttentionShape shape = op.check();
    backend_.expect_supported(op.kName, shape.dtype);
    const std::span<std::byte> scratch =
        backend_.workspace(op.kName, backend_.traits_->attention_backward_workspace_bytes(shape));
    if (CudnnAttention* const cudnn = backend_.attention_.cudnn_for(shape, op.dropout.enabled())) {
      return cudnn->backward(attention_sizes(shape), op.dqkv.data(), op.dout.data(), op.out.data(), op.qkv.data(),
                             op.lse.as<float>(), op.dropout, scratch);
    }
    cuda::attention_backward(backend_.context_, attention_sizes(shape), op.dqkv.data(), op.dout.data(), op.out.data(),
                             op.qkv.data(), op.lse.as<float>(), op.dropout, scratch);
  }

  void operator()(const ops::AttentionDecode& op) const {
    const AttentionShape cache = op.cache_shape();
    backend_.expect_supported(op.kName, cache.dtype);
    const AttentionDecode operands{.out = op.out.data(),
                                   .k_cache = op.k_cache.data(),
                                   .v_cache = op.v_cache.data(),
                                   .qkv = op.qkv.data(),
                                   .new_rows = op.qkv.shape()[1],
                                   .first_position = op.first_position};
    cuda::attention_decode(backend_.context_, attention_sizes(cache), operands,
                           backend_.workspace(op.kName, backend_.traits_->attention_decode_workspace_bytes(cache)));
  }

  void operator()(const ops::CausalConvForward& op) const {
    const auto [batch, length, channels, taps, dtype] = op.check();
    backend_.expect_supported(op.kName, dtype);
    cuda::causal_conv_forward(backend_.context_, dtype, op.out.data(), op.inp.data(), op.weight.data(),
                              {batch, length, channels, taps});
  }

  void operator()(const ops::CausalConvBackward& op) const {
    const auto [batch, length, channels, taps, dtype] = op.check();
    backend_.expect_supported(op.kName, dtype);
    const ConvGradients operands{.dinp = op.dinp.data(),
                                 .dweight = op.dweight.as<float>(),
                                 .dout = op.dout.data(),
                                 .inp = op.inp.data(),
                                 .weight = op.weight.data()};
    const std::int64_t needed = backend_.traits_->column_sums_workspace_bytes(batch * length, taps * channels);
    cuda::causal_conv_backward(backend_.context_, dtype, operands, {batch, length, channels, taps},
                               backend_.workspace(op.kName, needed));
  }

  void operator()(const ops::CausalConvDecode& op) const {
    const auto [batch, length, channels, taps, dtype] = op.check();
    backend_.expect_supported(op.kName, dtype);
    const ConvCache cache{op.cache.data(), op.cache.shape()[1], op.first_position};
    cuda::causal_conv_decode(backend_.context_, dtype, op.out.data(), cache, op.inp.data(), op.weight.data(),
                             {batch, length, channels, taps});
  }

  void operator()(const ops::CrossEntropyForward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    cuda::cross_entropy_forward(backend_.context_, sizes.dtype, op.losses.as<float>(), op.logits.data(),
                                op.targets.as<std::int32_t>(), sizes.rows, sizes.channels, op.vocab_size);
  }

  void operator()(const ops::CrossEntropyForwardBackward& op) const {
    const auto sizes = op.check();
    backend_.expect_supported(op.kName, sizes.dtype);
    cuda::cross_entropy_forward_backward(backend_.context_, sizes.dtype, op.losses.as<float>(), op.logits.data(),
                                         op.targets.as<std::int32_t>(), sizes.rows, sizes.channels, op.vocab_size,
                                         op.grad_scale);
  }

  void operator()(const ops::ReduceSum& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::reduce_sum(backend_.context_, op.inp.dtype(), op.out.as<float>(), op.inp.data(), num_elements,
                     backend_.workspace(op.kName, backend_.traits_->reduction_workspace_bytes(num_elements)));
  }

  void operator()(const ops::L2Norm& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.inp.dtype());
    cuda::l2_norm(backend_.context_, op.inp.dtype(), op.out.as<float>(), op.inp.data(), num_elements, op.scale,
                  backend_.workspace(op.kName, backend_.traits_->reduction_workspace_bytes(num_elements)));
  }

  void operator()(const ops::AdamWUpdate& op) const {
    const AdamWTensors tensors{.param = op.param.data(),
                               .param_dtype = op.param.dtype(),
                               .working = op.working.data(),
                               .working_dtype = op.working.dtype(),
                               .m = op.m.data(),
                               .v = op.v.data(),
                               .moment_dtype = op.m.dtype(),
                               .grad = op.grad.as<float>(),
                               .norm = op.norm.as<float>(),
                               .count = op.check()};
    backend_.expect_supported(op.kName, op.param.dtype());
    const auto t = static_cast<double>(op.step.t);
    const AdamWScalars scalars{.learning_rate = op.step.learning_rate,
                               .beta1 = op.step.beta1,
                               .beta2 = op.step.beta2,
                               .eps = op.step.eps,
                               .weight_decay = op.step.weight_decay,
                               .bias_correction1 = 1 - std::pow(static_cast<double>(op.step.beta1), t),
                               .bias_correction2 = 1 - std::pow(static_cast<double>(op.step.beta2), t),
                               .max_norm = op.step.max_norm,
                               .grad_scale = op.step.grad_scale,
                               .rounding = op.step.rounding,
                               .first_index = op.step.first_index};
    cuda::adamw_update(backend_.context_, tensors, scalars);
  }

  void operator()(const ops::MuonMomentum& op) const {
    const MatrixColumns sizes = op.check();
    const MuonMomentumTensors tensors{.direction = op.direction.as<float>(),
                                      .momentum = op.momentum.as<float>() + op.first_column,
                                      .grad = op.grad.as<float>() + op.first_column,
                                      .norm = op.norm.as<float>()};
    cuda::muon_momentum(backend_.context_, tensors, sizes, op.step);
  }

  void operator()(const ops::ScaledSum& op) const {
    const std::int64_t num_elements = op.check();
    backend_.expect_supported(op.kName, op.out.dtype());
    const ScaledSumTensors tensors{.out = op.out.data(),
                                   .dtype = op.out.dtype(),
                                   .x = op.x.data(),
                                   .x_dtype = op.x.dtype(),
                                   .y = op.y.present() ? op.y.data() : nullptr,
                                   .divisor = floats_or_null(op.divisor)};
    cuda::scaled_sum(backend_.context_, tensors, num_elements, op.a, op.b);
  }

  void operator()(const ops::NeuronMoments& op) const {
    const MatrixColumns sizes = op.check();
    backend_.expect_supported(op.kName, op.direction.dtype());
    const NeuronMomentsTensors tensors{.factors = op.factors.as<float>(),
                                       .v = op.v.as<float>() + op.first_neuron,
                                       .direction = op.direction.data(),
                                       .direction_dtype = op.direction.dtype(),
                                       .axis = op.axis,
                                       .norm = op.norm.as<float>()};
    cuda::neuron_moments(backend_.context_, tensors, sizes, op.step);
  }

  void operator()(const ops::MuonApply& op) const {
    const MatrixColumns sizes = op.check();
    backend_.expect_supported(op.kName, op.direction.dtype());
    MuonApplyTensors tensors{.param = op.param.as<float>() + op.first_column,
                             .direction = op.direction.data(),
                             .direction_dtype = op.direction.dtype(),
                             .factors = floats_or_null(op.factors),
                             .axis = op.axis,
                             .norm = op.norm.as<float>()};
    if (op.working.present()) {
      tensors.working = static_cast<std::byte*>(op.working.data()) + op.first_column * size_of(op.working.dtype());
      tensors.working_dtype = op.working.dtype();
    }
    cuda::muon_apply(backend_.context_, tensors, sizes, op.step);
  }

 private:
  void rotary(std::string_view name, const RotarySizes& sizes, const TensorView& out, const ConstTensorView& inp,
              std::int64_t first_position, bool back, const RotaryAngles& angles) const {
    backend_.expect_supported(name, sizes.dtype);
    cuda::rotary(backend_.context_, sizes.dtype,
                 {.out = out.data(),
                  .inp = inp.data(),
                  .rows = sizes.batch * sizes.length,
                  .length = sizes.length,
                  .turned_heads = sizes.turned_heads,
                  .heads = sizes.heads,
                  .head_size = sizes.head_size,
                  .first_position = first_position,
                  .back = back},
                 angles);
  }

  CudaBackend& backend_;
};

void CudaBackend::run(const Call& call) { std::visit(Ops(*this), call); }

}  // namespace virgil::cuda
