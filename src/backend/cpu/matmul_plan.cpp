#include "backend/cpu/matmul_plan.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl_version.h>
#include <algorithm>
#include <utility>

namespace virgil::cpu {

namespace {

constexpr std::int64_t kAlignment = 64;

dnnl::memory::data_type type_of(DType dtype) {
  return dtype == DType::kBFloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

dnnl::memory::desc row_major(std::int64_t rows, std::int64_t columns, DType dtype) {
  return {{rows, columns}, type_of(dtype), dnnl::memory::dims{columns, 1}};
}

/// Rows of a matrix of `all_rows`, stored as it is or as its transpose.
dnnl::memory::desc stored(std::int64_t rows, std::int64_t columns, std::int64_t all_rows, DType dtype, bool transposed) {
  if (!transposed) return row_major(rows, columns, dtype);
  return {{rows, columns}, type_of(dtype), dnnl::memory::dims{1, all_rows}};
}

/// Whether b is first copied into the blocked layout of oneDNN's choice.
///
/// From a row-major b its kernels read 64 columns of consecutive rows. Where the distance of rows is a multiple of 4 KiB these
/// fall into the same few sets of the first-level cache, and the product runs at a third to a half of its speed (3072 x 3072 x
/// 768 from 74 to 139 GFLOP/s on one Xeon core). A transposed b is copied in any case, by every thread for itself: once for all
/// is faster. The copy must be small beside the product, hence the bounds on m. In bfloat16 every thread copies b into pairs of
/// rows in any case: weights (k, n) are copied once for all, activations (k = B * T) are as large as the product's other
/// operand.
bool should_reorder_b(const MatmulShape& shape) {
  constexpr std::int64_t kAliasingColumns = 1024;
  if (shape.dtype == DType::kBFloat16) return shape.m >= 256 && !shape.options.transpose_a && !shape.options.accumulate;
  if (shape.options.transpose_b) return shape.m >= 1024 && !shape.options.accumulate;
  if (shape.n % kAliasingColumns == 0) return shape.m >= 256;
  return !shape.options.transpose_a && shape.n % (kAliasingColumns / 4) == 0 && shape.m >= 1024;
}

std::int64_t aligned_bytes(const dnnl::memory::desc& desc) {
  return round_up(static_cast<std::int64_t>(desc.get_size()), kAlignment);
}

using ProductDesc = dnnl::matmul::primitive_desc;

ProductDesc make_product(const MatmulPlan::Part& part, const dnnl::memory::desc& b, const dnnl::memory::desc* bias,
                         const dnnl::primitive_attr& attributes, const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias != nullptr) return {engine, part.a, b, *bias, part.out, attributes};
  return {engine, part.a, b, part.out, attributes};
#else
  if (bias != nullptr) return {dnnl::matmul::desc(part.a, b, *bias, part.out), attributes, engine};
  return {dnnl::matmul::desc(part.a, b, part.out), attributes, engine};
#endif
}

}  // namespace

ScopedOmpThreads::ScopedOmpThreads(int num_threads) : previous_(omp_get_max_threads()) { omp_set_num_threads(num_threads); }
ScopedOmpThreads::~ScopedOmpThreads() { omp_set_num_threads(previous_); }

MatmulPlan::MatmulPlan(const MatmulShape& shape, const dnnl::engine& engine, int num_threads, bool thread_invariant) {
  const MatmulOptions& options = shape.options;
  b = stored(shape.k, shape.n, shape.k, shape.dtype, options.transpose_b);
  bias = row_major(1, shape.n, shape.dtype);
  out_elements = checked_multiply(shape.m, shape.n);
  block_rows = thread_invariant ? std::min(shape.m, kRowsOfBlock) : shape.m;
  num_blocks = ceil_div(shape.m, block_rows);
  a_stride_bytes = block_rows * (options.transpose_a ? 1 : shape.k) * size_of(shape.dtype);
  out_stride_bytes = block_rows * shape.n * size_of(shape.out_dtype);
  if (num_blocks > 1) num_scratches = std::min<std::int64_t>(num_threads, num_blocks);

  // Every block reads all of b: it is put in order once for all of them.
  const bool any_b = num_blocks > 1 || should_reorder_b(shape);
  // With a blocked b and a sum as post-operation, oneDNN 2.6.3 adds what its scratch happens to hold.
  adds_apart = options.accumulate && any_b;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::primitive_attr reorder_attributes = attributes;
  if (options.accumulate && !adds_apart) {
    dnnl::post_ops add_to_out;
    add_to_out.append_sum(1.0F);
    attributes.set_post_ops(add_to_out);
  }

  used_b = any_b ? dnnl::memory::desc({shape.k, shape.n}, type_of(shape.dtype), dnnl::memory::format_tag::any) : b;
  const auto make_part = [&](std::int64_t rows) {
    Part part;
    part.a = stored(rows, shape.k, shape.m, shape.dtype, options.transpose_a);
    part.out = row_major(rows, shape.n, shape.out_dtype);
    const ScopedOmpThreads threads(thread_invariant ? 1 : num_threads);
    const ProductDesc product = make_product(part, used_b, shape.has_bias ? &bias : nullptr, attributes, engine);
    part.product = dnnl::matmul(product);
    part.scratch = product.scratchpad_desc();
    used_b = product.weights_desc();
    scratch_bytes = std::max(scratch_bytes, aligned_bytes(part.scratch));
    return part;
  };
  block = make_part(block_rows);
  if (shape.m % block_rows != 0) last = make_part(shape.m % block_rows);
  if (adds_apart) sum_bytes = round_up(checked_multiply(out_elements, size_of(shape.out_dtype)), kAlignment);

  reorders_b = used_b != b;
  if (!reorders_b) return;
  const ScopedOmpThreads threads(num_threads);
  const dnnl::reorder::primitive_desc reorder(engine, b, engine, used_b, reorder_attributes);
  reorder_b = dnnl::reorder(reorder);
  reorder_scratch = reorder.scratchpad_desc();
  scratch_bytes = std::max(scratch_bytes, aligned_bytes(reorder_scratch));
  used_b_bytes = aligned_bytes(used_b);
}

}  // namespace virgil::cpu
