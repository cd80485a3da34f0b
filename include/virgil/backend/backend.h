// The interface between the model, written once, and the machines it runs on.
//
// Conventions of every op:
//   - Views carry shape and dtype; outputs first, then inputs, then scalars. Ops check shapes and dtypes (op_checks) and throw
//     InternalError on a mismatch. Letters: B sequences, T positions, C channels, NH heads, HS head size (C = NH * HS),
//     N = B * T rows, V vocabulary, Vp padded vocabulary (rows V..Vp-1 exist but never win).
//   - "+=" outputs accumulate; all others are overwritten. Outputs never overlap inputs unless the op says so.
//   - An absent view (TensorView{}) stands for an optional operand: the bias of a model without biases.
//   - Ops never allocate. Scratch comes from the workspace bound with bind_workspace(), whose size traits() tells.
//   - Work is ordered as if each op finished before the next began; the caller synchronizes only to read results.
//   - Reductions have a fixed order: the same inputs give the same bits, for any number of threads.
//   - dtypes: unless said otherwise all float tensors of a call share one dtype; gradients of parameters (dwte, dwpe, dweight,
//     dbias), statistics (mean, rstd, lse), losses and norms are float32; tokens and targets are int32. Arithmetic is float32;
//     a 16-bit result is rounded once, to nearest, ties to even, when it is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "virgil/backend/dropout.h"
#include "virgil/base/philox.h"
#include "virgil/memory/memory_resource.h"
#include "virgil/memory/tensor_view.h"

namespace virgil {

/// A matrix product out (m, n) = op(a) (m, k) * op(b) (k, n) [+ bias (n)] [+ out].
struct MatmulOptions {
  bool transpose_a = false;  // a is stored (k, m)
  bool transpose_b = false;  // b is stored (n, k)
  bool accumulate = false;   // add to what `out` holds
  friend bool operator==(const MatmulOptions&, const MatmulOptions&) = default;
};

struct MatmulShape {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  DType dtype = DType::kFloat32;      // of a, b and bias
  DType out_dtype = DType::kFloat32;  // the same, or float32
  bool has_bias = false;
  MatmulOptions options = {};
  friend bool operator==(const MatmulShape&, const MatmulShape&) = default;
};

/// Sizes of a causal self-attention call.
struct AttentionShape {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;
  std::int64_t head_size = 0;
  DType dtype = DType::kFloat32;
};

/// AdamW (Loshchilov, Hutter 2019) at step t >= 1, with the clip by global norm folded in.
struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float eps = 1e-8F;
  float weight_decay = 0;
  std::int64_t t = 1;    // 1 at the first update: bias corrections are 1 - beta^t, computed in double
  float max_norm = 0;    // gradients are scaled by min(1, max_norm / norm); 0 switches clipping off
  float grad_scale = 1;  // gradients are multiplied by this before anything else (the norm includes it already)
  // For bfloat16 moments and parameters, which are rounded stochastically: up with the probability that makes the expected
  // result exact. Of this stream element i takes word first_index + i, the upper half for m and the lower half for v; a
  // parameter takes the upper half of the same word of weight_rounding(rounding).
  RandomStream rounding = {};
  std::int64_t first_index = 0;  // a multiple of 4
};

/// The stream that rounds parameters, of the same seed, site and step.
[[nodiscard]] constexpr RandomStream weight_rounding(RandomStream rounding) {
  rounding.purpose = RandomPurpose::kWeightRounding;
  return rounding;
}

/// How many rows of logits a device wants at a time where nobody says.
struct LogitsChunk {
  std::int64_t size_bytes = 0;    // at most so many bytes in float32 (whatever the type that they are stored in)
  std::int64_t row_multiple = 1;  // a multiple of so many rows, where the step's rows are made of equal chunks of such
};

/// What planning must know of a backend, without needing the device: how allocations are aligned, what scratch ops need (in
/// bytes), and in what pieces the classifier is fast.
class BackendTraits {
 public:
  virtual ~BackendTraits() = default;
  [[nodiscard]] virtual std::int64_t alignment_bytes() const = 0;
  /// Large enough for full-speed matrix products, small beside the activations.
  [[nodiscard]] virtual LogitsChunk logits_chunk() const = 0;
  [[nodiscard]] virtual std::int64_t matmul_workspace_bytes(const MatmulShape& shape) const = 0;
  [[nodiscard]] virtual std::int64_t attention_forward_workspace_bytes(const AttentionShape& shape) const = 0;
  [[nodiscard]] virtual std::int64_t attention_backward_workspace_bytes(const AttentionShape& shape) const = 0;
  /// Attention of `length` cached positions for any number of new rows (attention_decode).
  [[nodiscard]] virtual std::int64_t attention_decode_workspace_bytes(const AttentionShape& shape) const = 0;
  [[nodiscard]] virtual std::int64_t layernorm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const = 0;
  [[nodiscard]] virtual std::int64_t bias_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const = 0;
  [[nodiscard]] virtual std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                        std::int64_t vocab_rows) const = 0;
  [[nodiscard]] virtual std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const = 0;
};

/// Memory of a device that has its own, in bytes.
struct DeviceMemory {
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;     // now; what others on the device hold counts as used
  std::int64_t context_bytes = 0;  // when the backend was made: context, code, libraries
  std::int64_t others_bytes = 0;   // that other programs held then; 0, and they are in context_bytes, where nobody tells
};

/// A sequence of ops that is asked for again and again, such as a training pass. Must not outlive its backend, nor be run once
/// a tensor of its ops is gone.
class OpSequence {
 public:
  virtual ~OpSequence() = default;
  /// Does what ops() asks of the backend, as if it were called each time; a backend may keep what it asked for once and repeat
  /// that. So every ops() must ask for the same ops with the same arguments, save that step and first_sequence of all their
  /// dropouts follow `place`, with the same workspace bound; and it neither waits nor copies from or to the host.
  virtual void run(const RandomPlace& place, const std::function<void()>& ops) = 0;
};

/// One device that runs the ops. Not thread-safe: one thread drives a backend.
class Backend {
 public:
  virtual ~Backend() = default;

  /// For people: "cpu: 2 threads, AVX-512, oneDNN 2.6.3".
  [[nodiscard]] virtual std::string description() const = 0;
  [[nodiscard]] virtual const BackendTraits& traits() const = 0;
  /// The device's memory. Tensors passed to ops must lie in it.
  [[nodiscard]] virtual MemoryResource& memory() = 0;
  /// Bytes of memory on the device that an allocation could still get, by the system's own account.
  [[nodiscard]] virtual std::int64_t available_bytes() const = 0;
  /// Nothing where the device computes in the machine's own memory.
  [[nodiscard]] virtual std::optional<DeviceMemory> device_memory() const { return std::nullopt; }
  /// The types that weights and activations may have, the one to prefer first: what comes after float32 is slower than it.
  /// Valid as long as the backend.
  [[nodiscard]] virtual std::span<const DType> dtypes() const = 0;

  /// Lends scratch memory to all following ops; the caller keeps it alive and owns it. An op that needs more throws
  /// InternalError.
  virtual void bind_workspace(std::span<std::byte> workspace) = 0;

  /// Copies between device tensors and host memory; sizes must be equal. They take their place among the ops: src may be
  /// changed once copy_from_host returns, and dst holds the values when copy_to_host does.
  virtual void copy_from_host(TensorView dst, std::span<const std::byte> src) = 0;
  virtual void copy_to_host(std::span<std::byte> dst, ConstTensorView src) = 0;
  /// dst = src, both on the device, of one dtype and as many elements.
  virtual void copy(TensorView dst, ConstTensorView src) = 0;
  virtual void set_zero(TensorView dst) = 0;
  /// dst = src, both of any float type and as many elements, rounded to nearest, ties to even.
  virtual void convert(TensorView dst, ConstTensorView src) = 0;
  /// Waits until all work is done.
  virtual void synchronize() = 0;
  /// A sequence to come. Unless a backend knows better, its ops are called at each run.
  [[nodiscard]] virtual std::unique_ptr<OpSequence> make_sequence();

  // --- Embedding ---------------------------------------------------------------------------------------------------------

  /// out (B, T, C) = dropout(wte[tokens] + wpe[first_position + t]); tokens (B, T), wte (Vp, C), wpe (block, C).
  /// Throws InternalError on a token outside wte (checked on the CPU; the data layer guarantees it).
  virtual void embedding_forward(TensorView out, ConstTensorView tokens, ConstTensorView wte, ConstTensorView wpe,
                                 std::int64_t first_position, const Dropout& dropout) = 0;
  /// dwte (Vp, C) +=, dwpe (block, C) += from dout (B, T, C), positions 0..T-1.
  virtual void embedding_backward(TensorView dwte, TensorView dwpe, ConstTensorView dout, ConstTensorView tokens,
                                  const Dropout& dropout) = 0;

  // --- Layernorm (Ba, Kiros, Hinton 2016), eps 1e-5 -----------------------------------------------------------------------

  /// out, inp (..., C); mean, rstd (rows); weight, bias (C), bias optional. mean and rstd are float32 outputs.
  virtual void layernorm_forward(TensorView out, TensorView mean, TensorView rstd, ConstTensorView inp, ConstTensorView weight,
                                 ConstTensorView bias) = 0;
  /// residual_out = residual + dropout(branch), then layernorm of it, in one pass: the same bits as the two ops apart.
  /// All (B, T, C). residual_out may be residual. Dropout counts elements as (sequence, position, channel).
  virtual void residual_layernorm_forward(TensorView residual_out, TensorView out, TensorView mean, TensorView rstd,
                                          ConstTensorView residual, ConstTensorView branch, ConstTensorView weight,
                                          ConstTensorView bias, const Dropout& dropout) = 0;
  /// dinp (..., C) +=, dweight (C) +=, dbias (C) += (absent without bias).
  virtual void layernorm_backward(TensorView dinp, TensorView dweight, TensorView dbias, ConstTensorView dout,
                                  ConstTensorView inp, ConstTensorView weight, ConstTensorView mean, ConstTensorView rstd) = 0;
  /// dinp (B, T, C) = dout * mask / (1 - p): the way back through the dropout of a residual branch. dropout.p > 0.
  virtual void dropout_backward(TensorView dinp, ConstTensorView dout, const Dropout& dropout) = 0;

  // --- Matrix products ----------------------------------------------------------------------------------------------------

  /// out (m, n) = op(a) * op(b) + bias; leading dimensions of out and a are flattened to rows. bias (n) optional, and not
  /// together with accumulate. float32 accumulation. out may be float32 when a and b are 16-bit.
  virtual void matmul(TensorView out, ConstTensorView a, ConstTensorView b, ConstTensorView bias,
                      const MatmulOptions& options) = 0;
  /// dbias (C) += column sums of dout (..., C).
  virtual void bias_backward(TensorView dbias, ConstTensorView dout) = 0;

  // --- GELU, tanh form (Hendrycks, Gimpel 2016; GPT-2) --------------------------------------------------------------------

  /// out may be inp.
  virtual void gelu_forward(TensorView out, ConstTensorView inp) = 0;
  /// dinp = dout * gelu'(inp). dinp may be dout.
  virtual void gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView inp) = 0;
  /// dinp (..., F) = (dout (..., C) * weight^T) * gelu'(hidden): back through a product with weight (F, C) and the GELU before
  /// it, whose input was hidden (..., F). With 16 bits the product may be rounded before it is multiplied, and the derivative
  /// may be that of a tanh off by 2^-11 of it. Scratch: the product's.
  virtual void matmul_gelu_backward(TensorView dinp, ConstTensorView dout, ConstTensorView weight, ConstTensorView hidden) = 0;

  // --- Causal self-attention (Dao 2023: never stores T x T) ---------------------------------------------------------------

  /// out (B, T, C), lse (B, NH, T) float32 natural-log sum of exponents of the scaled scores; qkv (B, T, 3C) holds q, k, v
  /// side by side, heads inside each. Scale 1 / sqrt(HS); dropout on the probabilities. HS is a multiple of 8 up to 128.
  virtual void attention_forward(TensorView out, TensorView lse, ConstTensorView qkv, std::int64_t num_heads,
                                 const Dropout& dropout) = 0;
  /// dqkv (B, T, 3C) from dout, out (B, T, C), qkv and lse of the forward pass.
  virtual void attention_backward(TensorView dqkv, ConstTensorView dout, ConstTensorView out, ConstTensorView qkv,
                                  ConstTensorView lse, std::int64_t num_heads, const Dropout& dropout) = 0;
  /// Generation with a cache: appends the n new rows' k and v to the caches at positions first_position.. and attends from
  /// each new row to all positions up to its own. out (S, n, C), qkv (S, n, 3C), k_cache, v_cache (S, NH, L, HS) with
  /// first_position + n <= L.
  virtual void attention_decode(TensorView out, TensorView k_cache, TensorView v_cache, ConstTensorView qkv,
                                std::int64_t num_heads, std::int64_t first_position) = 0;

  // --- Classifier ---------------------------------------------------------------------------------------------------------

  /// losses (N) float32: -log softmax(logits)[target] in nats over the first vocab_size columns of logits (N, Vp); 0 where
  /// the target is negative (ignored).
  virtual void cross_entropy_forward(TensorView losses, ConstTensorView logits, ConstTensorView targets,
                                     std::int64_t vocab_size) = 0;
  /// The same losses, and logits is overwritten by its gradient times grad_scale: (softmax - onehot) * grad_scale, 0 in
  /// padded columns and ignored rows.
  virtual void cross_entropy_forward_backward(TensorView losses, TensorView logits, ConstTensorView targets,
                                              std::int64_t vocab_size, float grad_scale) = 0;

  // --- Reductions and the optimizer ---------------------------------------------------------------------------------------

  /// out (1) float32 = sum of inp, summed in float64.
  virtual void reduce_sum(TensorView out, ConstTensorView inp) = 0;
  /// out (1) float32 = sqrt(sum of squares of inp) * scale, summed in float64; not finite when any element is not.
  virtual void l2_norm(TensorView out, ConstTensorView inp, float scale) = 0;
  /// One AdamW update in place: param, m, v, grad of equal size; grad float32; m and v float32, or both bfloat16 and then
  /// rounded stochastically (the update itself uses the moments before rounding). param is float32, and working becomes param
  /// rounded to nearest: bfloat16, float16, or absent; or param is bfloat16, working is absent, and the new param, computed in
  /// float32, is rounded stochastically. norm (1) is the global norm from l2_norm: it scales the gradient when above max_norm,
  /// and when it is not finite nothing is changed.
  virtual void adamw_update(TensorView param, TensorView working, TensorView m, TensorView v, ConstTensorView grad,
                            ConstTensorView norm, const AdamWStep& step) = 0;
};

struct CpuOptions {
  int num_threads = 0;  // 0: as many as the process may use
  /// false: bfloat16 products are computed in float32 even where the processor has instructions for them, as on a processor
  /// without.
  bool native_bfloat16 = true;
  /// Matrix products too give the same bits for any number of threads, as all other ops do anyway. Costs time and scratch.
  bool thread_invariant = false;
};

/// The CPU backend: float32 and bfloat16; oneDNN matrix products, Highway vectors, OpenMP threads.
/// Throws UserError when num_threads is negative.
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);

/// Whether the processor has instructions for bfloat16 products (AVX512-BF16; every processor with AMX-BF16 has it too).
/// Without them bfloat16 is slower than float32.
[[nodiscard]] bool cpu_multiplies_bfloat16();

}  // namespace virgil
