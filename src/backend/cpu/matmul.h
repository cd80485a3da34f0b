// Matrix products on the CPU, in float32 or bfloat16, through oneDNN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "backend/cpu/cpu_context.h"
#include "virgil/ops/matmul.h"

namespace virgil::cpu {

struct MatmulOperands {
  void* out;
  const void* a;
  const void* b;
  const void* bias;  // null: none
};

struct MatmulSettings {
  int num_threads = 1;            // OpenMP threads of every product
  bool native_bfloat16 = true;    // false: as where oneDNN has no bfloat16 products, they are computed in float32
  bool thread_invariant = false;  // the same bits for any num_threads
};

/// oneDNN's primitives for the shapes met so far: each is made once and kept. Not thread-safe.
///
/// Two runs with the same number of threads give the same bits. Another number of threads may split the sums of a product
/// differently, and so round differently, unless thread_invariant is set: then products run in blocks of rows, which costs
/// copies of their second operand and, with few rows, idle threads.
class OneDnnMatmul {
 public:
  explicit OneDnnMatmul(const MatmulSettings& settings);
  OneDnnMatmul(OneDnnMatmul&&) noexcept;
  OneDnnMatmul& operator=(OneDnnMatmul&&) noexcept;
  ~OneDnnMatmul();

  /// Scratch that run() takes for this shape, in bytes. Makes the primitive when the shape is new.
  /// Throws InternalError with the shape when oneDNN refuses it.
  [[nodiscard]] std::int64_t workspace_bytes(const MatmulShape& shape) const;

  /// out (m, n) = op(a) (m, k) * op(b) (k, n) + bias (n, or null) [+ out]; see MatmulOptions. All row-major and dense, of the
  /// shape's dtypes, float32 or bfloat16.
  /// Throws InternalError when the workspace is too small (it must be 64-byte aligned) or oneDNN fails.
  void run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape,
           std::span<std::byte> workspace) const;

  /// The library's version, "2.6.3".
  [[nodiscard]] static std::string library_version();

 private:
  class Impl;
  [[nodiscard]] bool widens(const MatmulShape& shape) const;

  std::unique_ptr<Impl> impl_;
};

/// By the context's products.
void run(const ops::Matmul& op, const CpuContext& context);
/// The product, then GELU's derivative.
void run(const ops::MatmulGeluBackward& op, const CpuContext& context);

}  // namespace virgil::cpu
