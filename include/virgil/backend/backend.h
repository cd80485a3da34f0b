// The interface between the model, written once, and the machines it runs on.
//
// What each op computes is said where it is described (virgil/ops). Ops never allocate. Scratch comes from the workspace bound
// with bind_workspace(), whose size traits() tells. Work is ordered as if each op finished before the next began; the caller
// synchronizes only to read results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "virgil/memory/memory_resource.h"
#include "virgil/memory/tensor_view.h"
#include "virgil/ops/call.h"
#include "virgil/ops/dropout.h"

namespace virgil {

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
  [[nodiscard]] virtual std::int64_t norm_backward_workspace_bytes(std::int64_t rows, std::int64_t channels) const = 0;
  [[nodiscard]] virtual std::int64_t column_sums_workspace_bytes(std::int64_t rows, std::int64_t channels) const = 0;
  [[nodiscard]] virtual std::int64_t embedding_backward_workspace_bytes(std::int64_t rows, std::int64_t channels,
                                                                        std::int64_t vocab_rows) const = 0;
  [[nodiscard]] virtual std::int64_t reduction_workspace_bytes(std::int64_t num_elements) const = 0;

  /// Of a call, by the function of its family above. Looks at the shapes of its operands, never at their elements.
  [[nodiscard]] std::int64_t workspace_bytes(const Call& call) const;
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
  /// Waits until all work is done.
  virtual void synchronize() = 0;
  /// A sequence to come. Unless a backend knows better, its ops are called at each run.
  [[nodiscard]] virtual std::unique_ptr<OpSequence> make_sequence();

  /// Does what the call says, after checking that its operands agree. Throws InternalError where they do not, where the call
  /// needs more scratch than is bound, and for a type that this device does not compute in.
  virtual void run(const Call& call) = 0;
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
