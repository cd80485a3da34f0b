// What oneDNN needs to compute a matrix product of one shape.
#pragma once

#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>

#include "virgil/backend/backend.h"

namespace virgil::cpu {

/// oneDNN takes as many threads as OpenMP would: this sets that number while a primitive is made or runs.
class ScopedOmpThreads {
 public:
  explicit ScopedOmpThreads(int num_threads);
  ~ScopedOmpThreads();
  ScopedOmpThreads(const ScopedOmpThreads&) = delete;
  ScopedOmpThreads& operator=(const ScopedOmpThreads&) = delete;

 private:
  int previous_;
};

/// Primitives, layouts and scratch of one shape. A product is whole, on all threads, or (thread_invariant) in blocks of rows
/// that one thread computes each: where its sums are split then follows from the shape alone.
struct MatmulPlan {
  static constexpr std::int64_t kRowsOfBlock = 64;  // fills oneDNN's tiles

  /// num_threads: of the product. Throws dnnl::error where oneDNN refuses.
  MatmulPlan(const MatmulShape& shape, const dnnl::engine& engine, int num_threads, bool thread_invariant);

  /// Bytes of workspace: scratch, then the reordered b, then the product that is added apart.
  [[nodiscard]] std::int64_t workspace_bytes() const { return all_scratch_bytes() + used_b_bytes + sum_bytes; }
  [[nodiscard]] std::int64_t all_scratch_bytes() const { return scratch_bytes * num_scratches; }

  dnnl::memory::desc b, bias;  // as the caller stores them
  dnnl::memory::desc used_b;   // as the product reads b; equal to b when nothing is reordered
  dnnl::reorder reorder_b;
  dnnl::memory::desc reorder_scratch;
  bool reorders_b = false;
  bool adds_apart = false;

  /// The product of some rows.
  struct Part {
    dnnl::memory::desc a, out;  // as the caller stores them
    dnnl::matmul product;
    dnnl::memory::desc scratch;
  };
  Part block;  // of block_rows rows; the whole product when there is one block
  Part last;   // of what remains, where block_rows does not divide m
  std::int64_t block_rows = 0;
  std::int64_t num_blocks = 1;
  std::int64_t a_stride_bytes = 0;    // from a block's rows to the next one's
  std::int64_t out_stride_bytes = 0;  // likewise
  std::int64_t out_elements = 0;

  std::int64_t num_scratches = 1;  // one for each thread that computes blocks
  // Multiples of 64 bytes.
  std::int64_t scratch_bytes = 0;  // shared by the primitives
  std::int64_t used_b_bytes = 0;
  std::int64_t sum_bytes = 0;
};

}  // namespace virgil::cpu
