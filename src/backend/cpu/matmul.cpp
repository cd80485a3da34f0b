#include "backend/cpu/matmul.h"

#include <omp.h>

#include <oneapi/dnnl/dnnl_version.h>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "backend/cpu/widened_matmul.h"

namespace virgil::cpu {

namespace {

constexpr std::int64_t kAlignment = 64;
dnnl::memory::data_type type_of(DType dtype) {
  return dtype == DType::kBFloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// oneDNN takes as many threads as OpenMP would: this sets that number while a primitive is made or runs.
class ScopedOmpThreads {
 public:
  explicit ScopedOmpThreads(int num_threads) : previous_(omp_get_max_threads()) { omp_set_num_threads(num_threads); }
  ~ScopedOmpThreads() { omp_set_num_threads(previous_); }
  ScopedOmpThreads(const ScopedOmpThreads&) = delete;
  ScopedOmpThreads& operator=(const ScopedOmpThreads&) = delete;

 private:
  int previous_;
};

std::string describe(const MatmulShape& shape) {
  const MatmulOptions& o = shape.options;
  return fmt::format("matmul of m={} n={} k={}, {} to {}{}{}{}{}", shape.m, shape.n, shape.k, name_of(shape.dtype),
                     name_of(shape.out_dtype), o.transpose_a ? ", transpose_a" : "", o.transpose_b ? ", transpose_b" : "",
                     o.accumulate ? ", accumulate" : "", shape.has_bias ? ", bias" : "");
}

/// Runs `body`; what oneDNN throws becomes an InternalError with the shape.
template <typename Body>
auto translate_errors(const MatmulShape& shape, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    throw InternalError(fmt::format("{}: oneDNN {} failed with status {}: {}", describe(shape), OneDnnMatmul::library_version(),
                                    static_cast<int>(error.status), error.what()));
  }
}

dnnl::memory::desc row_major(std::int64_t rows, std::int64_t columns, DType dtype) {
  return {{rows, columns}, type_of(dtype), dnnl::memory::dims{columns, 1}};
}

/// A (rows, columns) matrix, stored as it is or as its transpose.
dnnl::memory::desc stored(std::int64_t rows, std::int64_t columns, DType dtype, bool transposed) {
  if (!transposed) return row_major(rows, columns, dtype);
  return {{rows, columns}, type_of(dtype), dnnl::memory::dims{1, rows}};
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

/// Whether the product goes to the workspace first and is added to `out` by us.
///
/// With a blocked b and a sum as post-operation, oneDNN 2.6.3 adds what its scratch happens to hold.
bool should_add_apart(const MatmulShape& shape) { return shape.options.accumulate && should_reorder_b(shape); }

/// What oneDNN needs for one shape.
struct Plan {
  dnnl::memory::desc a, b, bias, out;  // as the caller stores them
  dnnl::memory::desc used_b;           // as the product reads b; equal to b when nothing is reordered
  dnnl::matmul product;
  dnnl::reorder reorder_b;
  dnnl::memory::desc product_scratch, reorder_scratch;
  bool reorders_b = false;
  bool adds_apart = false;
  // The workspace, in this order; each part is a multiple of kAlignment.
  std::int64_t scratch_bytes = 0;  // shared by the two primitives
  std::int64_t used_b_bytes = 0;   // the reordered b
  std::int64_t sum_bytes = 0;      // the product that is added apart

  [[nodiscard]] std::int64_t workspace_bytes() const { return scratch_bytes + used_b_bytes + sum_bytes; }
};

void add_to(float* out, const float* terms, std::int64_t count, int num_threads) {
#pragma omp parallel for simd num_threads(num_threads)
  for (std::int64_t i = 0; i < count; ++i) out[i] += terms[i];
}

dnnl::matmul::primitive_desc make_product(const Plan& plan, const dnnl::memory::desc& b, const MatmulShape& shape,
                                          const dnnl::primitive_attr& attributes, const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  if (shape.has_bias) return {engine, plan.a, b, plan.bias, plan.out, attributes};
  return {engine, plan.a, b, plan.out, attributes};
#else
  if (shape.has_bias) return {dnnl::matmul::desc(plan.a, b, plan.bias, plan.out), attributes, engine};
  return {dnnl::matmul::desc(plan.a, b, plan.out), attributes, engine};
#endif
}

Plan make_plan(const MatmulShape& shape, const dnnl::engine& engine) {
  const MatmulOptions& options = shape.options;
  Plan plan;
  plan.a = stored(shape.m, shape.k, shape.dtype, options.transpose_a);
  plan.b = stored(shape.k, shape.n, shape.dtype, options.transpose_b);
  plan.bias = row_major(1, shape.n, shape.dtype);
  plan.out = row_major(shape.m, shape.n, shape.out_dtype);

  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::primitive_attr reorder_attributes = attributes;
  plan.adds_apart = should_add_apart(shape);
  if (plan.adds_apart) {
    plan.sum_bytes = round_up(static_cast<std::int64_t>(plan.out.get_size()), kAlignment);
  } else if (options.accumulate) {
    dnnl::post_ops add_to_out;
    add_to_out.append_sum(1.0F);
    attributes.set_post_ops(add_to_out);
  }
  const dnnl::memory::desc any_b({shape.k, shape.n}, type_of(shape.dtype), dnnl::memory::format_tag::any);
  const auto product = make_product(plan, should_reorder_b(shape) ? any_b : plan.b, shape, attributes, engine);
  plan.product = dnnl::matmul(product);
  plan.product_scratch = product.scratchpad_desc();
  plan.used_b = product.weights_desc();
  plan.scratch_bytes = round_up(static_cast<std::int64_t>(plan.product_scratch.get_size()), kAlignment);
  plan.reorders_b = plan.used_b != plan.b;
  if (plan.reorders_b) {
    const dnnl::reorder::primitive_desc reorder(engine, plan.b, engine, plan.used_b, reorder_attributes);
    plan.reorder_b = dnnl::reorder(reorder);
    plan.reorder_scratch = reorder.scratchpad_desc();
    const auto reorder_bytes = static_cast<std::int64_t>(plan.reorder_scratch.get_size());
    plan.scratch_bytes = std::max(plan.scratch_bytes, round_up(reorder_bytes, kAlignment));
    plan.used_b_bytes = round_up(static_cast<std::int64_t>(plan.used_b.get_size()), kAlignment);
  }
  return plan;
}

/// oneDNN takes operands without const; it only reads those that are inputs.
dnnl::memory wrap(const dnnl::memory::desc& desc, const dnnl::engine& engine, const void* data) {
  return {desc, engine, const_cast<void*>(data)};
}

}  // namespace

class OneDnnMatmul::Impl {
 public:
  Impl(int num_threads, bool native_bfloat16)
      : num_threads_(num_threads), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    if (!native_bfloat16) native_bfloat16_ = false;
  }

  /// Whether oneDNN multiplies bfloat16 itself; else it is done in float32.
  [[nodiscard]] bool native_bfloat16() {
    if (!native_bfloat16_) native_bfloat16_ = has_bfloat16();
    return *native_bfloat16_;
  }
  [[nodiscard]] int num_threads() const { return num_threads_; }

  const Plan& plan_for(const MatmulShape& shape) {
    const MatmulOptions& o = shape.options;
    const Key key{shape.m,        shape.n,       shape.k,       shape.dtype, shape.out_dtype,
                  shape.has_bias, o.transpose_a, o.transpose_b, o.accumulate};
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    VIRGIL_CHECK(!(shape.has_bias && o.accumulate), "{}: bias and accumulate exclude each other", describe(shape));
    const ScopedOmpThreads threads(num_threads_);
    return plans_.emplace(key, translate_errors(shape, [&] { return make_plan(shape, engine_); })).first->second;
  }

  void run(const Plan& plan, void* out, const void* a, const void* b, const void* bias, std::byte* workspace) {
    const ScopedOmpThreads threads(num_threads_);
    const void* used_b = b;
    if (plan.reorders_b) {
      used_b = workspace + plan.scratch_bytes;
      plan.reorder_b.execute(stream_, {{DNNL_ARG_FROM, wrap(plan.b, engine_, b)},
                                       {DNNL_ARG_TO, wrap(plan.used_b, engine_, used_b)},
                                       {DNNL_ARG_SCRATCHPAD, wrap(plan.reorder_scratch, engine_, workspace)}});
    }
    void* product = plan.adds_apart ? workspace + plan.scratch_bytes + plan.used_b_bytes : out;
    std::unordered_map<int, dnnl::memory> arguments = {{DNNL_ARG_SRC, wrap(plan.a, engine_, a)},
                                                       {DNNL_ARG_WEIGHTS, wrap(plan.used_b, engine_, used_b)},
                                                       {DNNL_ARG_DST, wrap(plan.out, engine_, product)},
                                                       {DNNL_ARG_SCRATCHPAD, wrap(plan.product_scratch, engine_, workspace)}};
    if (bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.bias, engine_, bias));
    plan.product.execute(stream_, arguments);
    stream_.wait();
    if (plan.adds_apart) {
      add_to(static_cast<float*>(out), static_cast<const float*>(product),
             static_cast<std::int64_t>(plan.out.get_size() / sizeof(float)), num_threads_);
    }
  }

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, DType, DType, bool, bool, bool, bool>;

  /// oneDNN has bfloat16 from AVX-512 on; without AVX512-BF16 it converts by itself.
  [[nodiscard]] bool has_bfloat16() const {
    try {
      static_cast<void>(make_plan({16, 16, 16, DType::kBFloat16, DType::kBFloat16, false, {}}, engine_));
      return true;
    } catch (const dnnl::error& error) {
      return error.status != dnnl_unimplemented;  // any other error is for the product that meets it
    }
  }

  int num_threads_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::optional<bool> native_bfloat16_;  // not asked yet
  std::map<Key, Plan> plans_;
};

OneDnnMatmul::OneDnnMatmul(int num_threads, bool native_bfloat16)
    : impl_(std::make_unique<Impl>(num_threads, native_bfloat16)) {}
OneDnnMatmul::OneDnnMatmul(OneDnnMatmul&&) noexcept = default;
OneDnnMatmul& OneDnnMatmul::operator=(OneDnnMatmul&&) noexcept = default;
OneDnnMatmul::~OneDnnMatmul() = default;

std::int64_t OneDnnMatmul::workspace_bytes(const MatmulShape& shape) const {
  if (widens(shape)) return WidenedMatmul(shape).workspace_bytes(*this);
  return impl_->plan_for(shape).workspace_bytes();
}

void OneDnnMatmul::run(void* out, const void* a, const void* b, const void* bias, const MatmulShape& shape,
                       std::span<std::byte> workspace) const {
  const std::int64_t needed = workspace_bytes(shape);
  VIRGIL_CHECK(std::ssize(workspace) >= needed, "{}: the workspace has {} bytes, {} are needed", describe(shape),
               workspace.size(), needed);
  VIRGIL_CHECK((bias != nullptr) == shape.has_bias, "{}: the bias is {}", describe(shape), bias ? "given" : "missing");
  if (widens(shape)) return WidenedMatmul(shape).run(*this, {out, a, b, bias}, {impl_->num_threads(), workspace});
  const Plan& plan = impl_->plan_for(shape);
  translate_errors(shape, [&] { impl_->run(plan, out, a, b, bias, workspace.data()); });
}

bool OneDnnMatmul::widens(const MatmulShape& shape) const {
  return shape.dtype == DType::kBFloat16 && !impl_->native_bfloat16();
}

std::string OneDnnMatmul::library_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace virgil::cpu
