#include "cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "cuda/device_use.h"
#include "cuda/graph_capture.h"
#include "cuda/kernels/adamw.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/column_sums.h"
#include "cuda/kernels/convert.h"
#include "cuda/kernels/cross_entropy.h"
#include "cuda/kernels/embedding.h"
#include "cuda/kernels/gelu.h"
#include "cuda/kernels/layernorm.h"
#include "cuda/kernels/reductions.h"
#include "virgil/backend/op_checks.h"

namespace virgil::cuda {

namespace {

/// The driver takes up to half a millisecond to tell what is free, which a step must not wait for each time.
constexpr std::chrono::seconds kOldestReading(1);

template <typename T>
const T* optional(const ConstTensorView& view) {
  return view.present() ? view.as<T>() : nullptr;
}
template <typename T>
T* optional(const TensorView& view) {
  return view.present() ? view.as<T>() : nullptr;
}

LaunchContext make_context(const CudaOptions& options, cudaStream_t stream, SharedMemoryLimits& smem_limits) {
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, options.device), "cudaDeviceGetAttribute");
    return value;
  };
  return {
      .stream = stream,
      .smem_limits = &smem_limits,
      .compute_capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor),
      .num_sms = attribute(cudaDevAttrMultiProcessorCount),
      .max_threads_per_sm = attribute(cudaDevAttrMaxThreadsPerMultiProcessor),
      .max_smem_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)};
}

Stream make_stream_of(int device) {
  check(cudaSetDevice(device), "cudaSetDevice");
  return make_stream();
}

std::string name_of_device(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties.name;
}

CublasLtMatmul::Options matmul_options(const CudaOptions& options, const std::string& device_name,
                                       const LaunchContext& context) {
  CublasLtMatmul::Options result{.tf32 = options.tf32};
  if (options.product_choices.empty()) return result;
  // All that the library's offer and its algorithms' times depend on, so that files from elsewhere do no harm.
  const std::string device = fmt::format("{}, sm_{}, {} SMs, cuBLASLt {}", device_name, context.compute_capability,
                                         context.num_sms, CublasLtMatmul::library_version());
  result.choices = ProductChoices(options.product_choices, device, options.time_products, [&](const std::string& line) {
    if (options.note) options.note(line);
  });
  result.times_new = options.time_products;
  return result;
}

}  // namespace

CudaBackend::CudaBackend(const CudaOptions& options, std::optional<std::int64_t> used_before)
    : options_(options),
      device_name_(name_of_device(options.device)),
      stream_(make_stream_of(options.device)),
      context_(make_context(options, stream_.get(), smem_limits_)),
      matmul_(context_, matmul_options(options, device_name_, context_)),
      attention_(options, context_),
      traits_(attention_.may_take_cudnn() ? std::make_unique<RoutedTraits>(context_.compute_capability, attention_)
                                          : std::make_unique<CudaTraits>(context_.compute_capability)),
      place_(options.graphs ? Buffer(memory_, sizeof(RandomPlace), {MemoryCategory::kWorkspace, "place of the graph"})
                            : Buffer()),
      upload_(memory_),
      dtypes_(device_dtypes(context_.compute_capability)) {
  const DeviceBytes bytes = device_bytes();
  context_bytes_ = bytes.total - bytes.free;
  const std::optional<std::int64_t> used = used_by_all(options.device);
  if (used_before && used) {
    // What others took or gave back in the meantime is in it, and cannot be told apart.
    context_bytes_ = std::clamp<std::int64_t>(*used - *used_before, 0, context_bytes_);
  }
  others_bytes_ = bytes.total - bytes.free - context_bytes_;
}

std::string CudaBackend::description() const {
  return fmt::format("cuda:{}: {}, sm_{}, {} SMs, cuBLASLt {}{}, {}", options_.device, device_name_,
                     context_.compute_capability, context_.num_sms, CublasLtMatmul::library_version(),
                     options_.tf32 ? ", TF32" : "", attention_.description());
}

std::int64_t CudaBackend::available_bytes() const { return device_bytes().free; }

std::optional<DeviceMemory> CudaBackend::device_memory() const {
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t changes = memory_.num_changes() + num_graphs_;
  if (now - reading_.time >= kOldestReading || reading_.changes != changes) reading_ = {device_bytes(), changes, now};
  return DeviceMemory{.total_bytes = reading_.bytes.total,
                      .free_bytes = reading_.bytes.free,
                      .context_bytes = context_bytes_,
                      .others_bytes = others_bytes_};
}

std::span<std::byte> CudaBackend::workspace(const char* op, std::int64_t needed_bytes) const {
  VIRGIL_CHECK(std::ssize(workspace_) >= needed_bytes, "{}: {} bytes of workspace are bound, {} are needed", op,
               workspace_.size(), needed_bytes);
  return workspace_;
}

void CudaBackend::expect_not_recording(const char* call) const {
  VIRGIL_CHECK(context_.place.now == nullptr, "{} while a sequence of ops is recorded", call);
}

void CudaBackend::expect_supported(const char* op, DType dtype) const {
  VIRGIL_CHECK(std::ranges::find(dtypes_, dtype) != dtypes_.end(), "{}: this GPU (sm_{}) does not compute in {}", op,
               context_.compute_capability, name_of(dtype));
}

// --- Plumbing ----------------------------------------------------------------------------------------------------------------

void CudaBackend::bind_workspace(std::span<std::byte> workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  VIRGIL_CHECK(address % DeviceResource::kAlignment == 0, "the workspace is not {}-byte aligned", DeviceResource::kAlignment);
  workspace_ = workspace;
}

void CudaBackend::copy_from_host(TensorView dst, std::span<const std::byte> src) {
  expect_not_recording("copy_from_host");
  VIRGIL_CHECK(std::ssize(src) == dst.size_bytes(), "copy_from_host: {} bytes to a tensor of {}", src.size(), dst.size_bytes());
  upload_.copy(dst.data(), src, stream_.get());
}

void CudaBackend::copy_to_host(std::span<std::byte> dst, ConstTensorView src) {
  expect_not_recording("copy_to_host");
  VIRGIL_CHECK(std::ssize(dst) == src.size_bytes(), "copy_to_host: a tensor of {} bytes to {}", src.size_bytes(), dst.size());
  if (!dst.empty()) {
    check(cudaMemcpyAsync(dst.data(), src.data(), dst.size(), cudaMemcpyDeviceToHost, stream_.get()), "cudaMemcpyAsync");
  }
  synchronize();
}

void CudaBackend::copy(TensorView dst, ConstTensorView src) {
  op_checks::copy(dst, src);
  if (dst.size_bytes() == 0) return;
  check(cudaMemcpyAsync(dst.data(), src.data(), static_cast<std::size_t>(dst.size_bytes()), cudaMemcpyDeviceToDevice,
                        stream_.get()),
        "cudaMemcpyAsync");
}

void CudaBackend::set_zero(TensorView dst) {
  if (dst.size_bytes() == 0) return;
  check(cudaMemsetAsync(dst.data(), 0, static_cast<std::size_t>(dst.size_bytes()), stream_.get()), "cudaMemsetAsync");
}

void CudaBackend::convert(TensorView dst, ConstTensorView src) {
  const std::int64_t num_elements = op_checks::convert(dst, src);
  if (dst.dtype() == src.dtype()) return copy(dst, src);
  cuda::convert(context_, dst.dtype(), dst.data(), src.dtype(), src.data(), num_elements);
}

void CudaBackend::synchronize() {
  expect_not_recording("synchronize");
  check(cudaStreamSynchronize(stream_.get()), "cudaStreamSynchronize");
}

class CudaBackend::GraphSequence final : public OpSequence {
 public:
  explicit GraphSequence(CudaBackend& backend) : backend_(backend) {}
  GraphSequence(const GraphSequence&) = delete;
  GraphSequence& operator=(const GraphSequence&) = delete;
  ~GraphSequence() override {
    // A graph must not go while it runs.
    if (graph_.get() != nullptr) static_cast<void>(cudaStreamSynchronize(backend_.stream_.get()));
  }

  void run(const RandomPlace& place, const std::function<void()>& ops) override {
    backend_.expect_not_recording("OpSequence::run");
    // The first run loads kernels' code and chooses cuBLASLt's algorithms, for which a recording is no place.
    if (!std::exchange(has_run_, true)) return ops();
    if (graph_.get() == nullptr) record(place, ops);
    VIRGIL_CHECK(workspace_.data() == backend_.workspace_.data() && workspace_.size() == backend_.workspace_.size(),
                 "a sequence of ops was recorded with another workspace");
    backend_.upload_.copy(backend_.place_.data(), std::as_bytes(std::span(&place, 1)), backend_.stream_.get());
    check(cudaGraphLaunch(graph_.get(), backend_.stream_.get()), "cudaGraphLaunch");
  }

 private:
  void record(const RandomPlace& place, const std::function<void()>& ops) {
    RecordedPlace& recorded = backend_.context_.place;
    recorded = {.now = reinterpret_cast<const RandomPlace*>(backend_.place_.data()), .recorded = place};
    try {
      graph_ = capture_graph(backend_.stream_.get(), ops);
    } catch (...) {
      recorded = {};
      throw;
    }
    recorded = {};
    ++backend_.num_graphs_;
    workspace_ = backend_.workspace_;
  }

  CudaBackend& backend_;
  bool has_run_ = false;
  GraphExec graph_;
  std::span<std::byte> workspace_;  // that the graph uses
};

std::unique_ptr<OpSequence> CudaBackend::make_sequence() {
  if (!options_.graphs) return Backend::make_sequence();
  return std::make_unique<GraphSequence>(*this);
}

// --- Ops ---------------------------------------------------------------------------------------------------------------------

void CudaBackend::embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                                    std::int64_t first_position, const Dropout& dropout) {
  const auto sizes = op_checks::embedding_forward(out, tokens, wte, wpe, first_position, dropout);
  expect_supported("embedding_forward", sizes.dtype);
  cuda::embedding_forward(context_, sizes.dtype, out.data(), tokens.as<std::int32_t>(), wte.data(), wpe.data(),
                          {sizes.batch, sizes.length, sizes.channels, wte.shape()[0], first_position}, dropout);
}

void CudaBackend::embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                                     const Dropout& dropout) {
  const auto sizes = op_checks::embedding_backward(dwte, dwpe, dout, tokens, dropout);
  expect_supported("embedding_backward", sizes.dtype);
  const std::int64_t vocab_rows = dwte.shape()[0];
  const std::int64_t needed =
      traits_->embedding_backward_workspace_bytes(sizes.batch * sizes.length, sizes.channels, vocab_rows);
  cuda::embedding_backward(context_, sizes.dtype, dwte.as<float>(), dwpe.as<float>(), dout.data(), tokens.as<std::int32_t>(),
                           {sizes.batch, sizes.length, sizes.channels, vocab_rows, 0}, dropout,
                           workspace("embedding_backward", needed));
}

void CudaBackend::layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp,
                                    ConstTensorView weight, ConstTensorView bias) {
  const auto sizes = op_checks::layernorm_forward(out, mean, rstd, inp, weight, bias);
  expect_supported("layernorm_forward", sizes.dtype);
  cuda::layernorm_forward(context_, sizes.dtype, out.data(), mean.as<float>(), rstd.as<float>(), inp.data(), weight.data(),
                          bias.data(), sizes.rows, sizes.channels);
}

void CudaBackend::residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                             ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                             ConstTensorView bias, const Dropout& dropout) {
  const auto sizes =
      op_checks::residual_layernorm_forward(residual_out, out, mean, rstd, residual, branch, weight, bias, dropout);
  expect_supported("residual_layernorm_forward", sizes.dtype);
  const ResidualLayernorm operands{.residual_out = residual_out.data(),
                                   .out = out.data(),
                                   .mean = mean.as<float>(),
                                   .rstd = rstd.as<float>(),
                                   .residual = residual.data(),
                                   .branch = branch.data(),
                                   .weight = weight.data(),
                                   .bias = bias.data(),
                                   .rows = sizes.batch * sizes.length,
                                   .channels = sizes.channels,
                                   .length = sizes.length};
  cuda::residual_layernorm_forward(context_, sizes.dtype, operands, dropout);
}

void CudaBackend::layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout,
                                     ConstTensorView inp, ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) {
  const auto sizes = op_checks::layernorm_backward(dinp, dweight, dbias, dout, inp, weight, mean, rstd);
  expect_supported("layernorm_backward", sizes.dtype);
  const LayernormGradients operands{.dinp = dinp.data(),
                                    .dweight = dweight.as<float>(),
                                    .dbias = optional<float>(dbias),
                                    .dout = dout.data(),
                                    .inp = inp.data(),
                                    .weight = weight.data(),
                                    .mean = mean.as<float>(),
                                    .rstd = rstd.as<float>(),
                                    .rows = sizes.rows,
                                    .channels = sizes.channels};
  const std::int64_t needed = traits_->layernorm_backward_workspace_bytes(sizes.rows, sizes.channels);
  cuda::layernorm_backward(context_, sizes.dtype, operands, workspace("layernorm_backward", needed));
}

void CudaBackend::dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) {
  const auto sizes = op_checks::dropout_backward(dinp, dout, dropout);
  expect_supported("dropout_backward", sizes.dtype);
  cuda::dropout_backward(context_, sizes.dtype, dinp.data(), dout.data(), sizes.batch * sizes.length, sizes.length,
                         sizes.channels, dropout);
}

void CudaBackend::matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
                         const MatmulOptions& options) {
  const MatmulShape shape = op_checks::matmul(out, a, b, bias, options);
  expect_supported("matmul", shape.dtype);
  matmul_.run(out.data(), a.data(), b.data(), bias.data(), shape, workspace("matmul", matmul_.workspace_bytes()));
}

void CudaBackend::bias_backward(TensorView dbias, ConstTensorView dout) {
  const auto sizes = op_checks::bias_backward(dbias, dout);
  expect_supported("bias_backward", sizes.dtype);
  const std::int64_t needed = traits_->bias_backward_workspace_bytes(sizes.rows, sizes.channels);
  cuda::bias_backward(context_, sizes.dtype, dbias.as<float>(), dout.data(), sizes.rows, sizes.channels,
                      workspace("bias_backward", needed));
}

void CudaBackend::gelu_forward(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_forward(out, inp);
  expect_supported("gelu_forward", inp.dtype());
  cuda::gelu_forward(context_, inp.dtype(), out.data(), inp.data(), num_elements);
}

void CudaBackend::gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::gelu_backward(dinp, dout, inp);
  expect_supported("gelu_backward", inp.dtype());
  cuda::gelu_backward(context_, inp.dtype(), dinp.data(), dout.data(), inp.data(), num_elements);
}

void CudaBackend::matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) {
  constexpr const char* kOp = "matmul_gelu_backward";
  const MatmulShape shape = op_checks::matmul_gelu_backward(dinp, dout, weight, hidden);
  expect_supported(kOp, shape.dtype);
  const std::span<std::byte> scratch = workspace(kOp, matmul_.workspace_bytes());
  if (matmul_.run_with_gelu_backward(dinp.data(), dout.data(), weight.data(), hidden.data(), shape, scratch)) return;
  matmul_.run(dinp.data(), dout.data(), weight.data(), nullptr, shape, scratch);
  cuda::gelu_backward(context_, shape.dtype, dinp.data(), dinp.data(), hidden.data(), hidden.num_elements());
}

void CudaBackend::attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                                    const Dropout& dropout) {
  constexpr const char* kOp = "attention_forward";
  const AttentionShape shape = op_checks::attention(kOp, qkv, num_heads, dropout);
  expect_supported(kOp, shape.dtype);
  const std::int64_t C = num_heads * shape.head_size;
  op_checks::expect(kOp, "out", out, {shape.batch, shape.length, C}, shape.dtype);
  op_checks::expect(kOp, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  const std::span<std::byte> scratch = workspace(kOp, traits_->attention_forward_workspace_bytes(shape));
  if (CudnnAttention* const cudnn = attention_.cudnn_for(shape, dropout.enabled())) {
    return cudnn->forward(attention_sizes(shape), out.data(), lse.as<float>(), qkv.data(), dropout, scratch);
  }
  cuda::attention_forward(context_, attention_sizes(shape), out.data(), lse.as<float>(), qkv.data(), dropout, scratch);
}

void CudaBackend::attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv,
                                     ConstTensorView lse, std::int64_t num_heads, const Dropout& dropout) {
  constexpr const char* kOp = "attention_backward";
  const AttentionShape shape = op_checks::attention(kOp, qkv, num_heads, dropout);
  expect_supported(kOp, shape.dtype);
  const std::int64_t C = num_heads * shape.head_size;
  op_checks::expect(kOp, "dqkv", dqkv, qkv.shape(), shape.dtype);
  op_checks::expect(kOp, "dout", dout, {shape.batch, shape.length, C}, shape.dtype);
  op_checks::expect(kOp, "out", out, {shape.batch, shape.length, C}, shape.dtype);
  op_checks::expect(kOp, "lse", lse, {shape.batch, num_heads, shape.length}, DType::kFloat32);
  const std::span<std::byte> scratch = workspace(kOp, traits_->attention_backward_workspace_bytes(shape));
  if (CudnnAttention* const cudnn = attention_.cudnn_for(shape, dropout.enabled())) {
    return cudnn->backward(attention_sizes(shape), dqkv.data(), dout.data(), out.data(), qkv.data(), lse.as<float>(), dropout,
                           scratch);
  }
  cuda::attention_backward(context_, attention_sizes(shape), dqkv.data(), dout.data(), out.data(), qkv.data(), lse.as<float>(),
                           dropout, scratch);
}

void CudaBackend::attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv,
                                   std::int64_t num_heads, std::int64_t first_position) {
  constexpr const char* kOp = "attention_decode";
  const AttentionShape shape = op_checks::attention(kOp, qkv, num_heads, Dropout{});
  expect_supported(kOp, shape.dtype);
  const std::int64_t C = num_heads * shape.head_size;
  op_checks::expect(kOp, "out", out, {shape.batch, shape.length, C}, shape.dtype);
  VIRGIL_CHECK(k_cache.present() && k_cache.shape().rank() == 4, "attention_decode: k_cache is not (S, NH, L, HS)");
  const std::int64_t L = k_cache.shape()[2];
  const Shape cache_shape{shape.batch, num_heads, L, shape.head_size};
  op_checks::expect(kOp, "k_cache", k_cache, cache_shape, shape.dtype);
  op_checks::expect(kOp, "v_cache", v_cache, cache_shape, shape.dtype);
  VIRGIL_CHECK(first_position >= 0 && first_position + shape.length <= L,
               "attention_decode: positions {} to {} of a cache of {}", first_position, first_position + shape.length, L);
  AttentionShape cache = shape;
  cache.length = L;
  const AttentionDecode operands{.out = out.data(),
                                 .k_cache = k_cache.data(),
                                 .v_cache = v_cache.data(),
                                 .qkv = qkv.data(),
                                 .new_rows = shape.length,
                                 .first_position = first_position};
  cuda::attention_decode(context_, attention_sizes(cache), operands,
                         workspace(kOp, traits_->attention_decode_workspace_bytes(cache)));
}

void CudaBackend::cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                                        std::int64_t vocab_size) {
  const auto sizes = op_checks::cross_entropy("cross_entropy_forward", losses, logits, targets, vocab_size);
  expect_supported("cross_entropy_forward", sizes.dtype);
  cuda::cross_entropy_forward(context_, sizes.dtype, losses.as<float>(), logits.data(), targets.as<std::int32_t>(), sizes.rows,
                              sizes.channels, vocab_size);
}

void CudaBackend::cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets,
                                                 std::int64_t vocab_size, float grad_scale) {
  const auto sizes = op_checks::cross_entropy("cross_entropy_forward_backward", losses, logits, targets, vocab_size);
  expect_supported("cross_entropy_forward_backward", sizes.dtype);
  cuda::cross_entropy_forward_backward(context_, sizes.dtype, losses.as<float>(), logits.data(), targets.as<std::int32_t>(),
                                       sizes.rows, sizes.channels, vocab_size, grad_scale);
}

void CudaBackend::reduce_sum(TensorView out, ConstTensorView inp) {
  const std::int64_t num_elements = op_checks::reduction("reduce_sum", out, inp);
  expect_supported("reduce_sum", inp.dtype());
  cuda::reduce_sum(context_, inp.dtype(), out.as<float>(), inp.data(), num_elements,
                   workspace("reduce_sum", traits_->reduction_workspace_bytes(num_elements)));
}

void CudaBackend::l2_norm(TensorView out, ConstTensorView inp, float scale) {
  const std::int64_t num_elements = op_checks::reduction("l2_norm", out, inp);
  expect_supported("l2_norm", inp.dtype());
  cuda::l2_norm(context_, inp.dtype(), out.as<float>(), inp.data(), num_elements, scale,
                workspace("l2_norm", traits_->reduction_workspace_bytes(num_elements)));
}

void CudaBackend::adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                               ConstTensorView norm, const AdamWStep& step) {
  const AdamWTensors tensors{.param = param.data(),
                             .param_dtype = param.dtype(),
                             .working = working.data(),
                             .working_dtype = working.dtype(),
                             .m = m.data(),
                             .v = v.data(),
                             .moment_dtype = m.dtype(),
                             .grad = grad.as<float>(),
                             .norm = norm.as<float>(),
                             .count = op_checks::adamw_update(param, working, m, v, grad, norm, step)};
  expect_supported("adamw_update", param.dtype());
  const auto t = static_cast<double>(step.t);
  const AdamWScalars scalars{.learning_rate = step.learning_rate,
                             .beta1 = step.beta1,
                             .beta2 = step.beta2,
                             .eps = step.eps,
                             .weight_decay = step.weight_decay,
                             .bias_correction1 = 1 - std::pow(static_cast<double>(step.beta1), t),
                             .bias_correction2 = 1 - std::pow(static_cast<double>(step.beta2), t),
                             .max_norm = step.max_norm,
                             .grad_scale = step.grad_scale,
                             .rounding = step.rounding,
                             .first_index = step.first_index};
  cuda::adamw_update(context_, tensors, scalars);
}

}  // namespace virgil::cuda
