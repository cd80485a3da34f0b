#include "backend/cpu/matmul.h"

#include <fmt/format.h>
#include <omp.h>

#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "backend/cpu/gelu.h"
#include "backend/cpu/matmul_plan.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/widened_matmul.h"
#include "virgil/ops/expectations.h"

namespace virgil::cpu {

namespace {

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

void add_to(float* out, const float* terms, std::int64_t count, int num_threads) {
#pragma omp parallel for simd num_threads(num_threads)
  for (std::int64_t i = 0; i < count; ++i) out[i] += terms[i];
}

/// oneDNN takes operands without const; it only reads those that are inputs.
dnnl::memory wrap(const dnnl::memory::desc& desc, const dnnl::engine& engine, const void* data) {
  return {desc, engine, const_cast<void*>(data)};
}

}  // namespace

class OneDnnMatmul::Impl {
 public:
  explicit Impl(const MatmulSettings& settings)
      : num_threads_(settings.num_threads),
        thread_invariant_(settings.thread_invariant),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {
    if (!settings.native_bfloat16) native_bfloat16_ = false;
  }

  /// Whether oneDNN multiplies bfloat16 itself; else it is done in float32.
  [[nodiscard]] bool native_bfloat16() {
    if (!native_bfloat16_) native_bfloat16_ = has_bfloat16();
    return *native_bfloat16_;
  }
  [[nodiscard]] int num_threads() const { return num_threads_; }

  const MatmulPlan& plan_for(const MatmulShape& shape) {
    const MatmulOptions& o = shape.options;
    const Key key{shape.m,        shape.n,       shape.k,       shape.dtype, shape.out_dtype,
                  shape.has_bias, o.transpose_a, o.transpose_b, o.accumulate};
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    VIRGIL_CHECK(!(shape.has_bias && o.accumulate), "{}: bias and accumulate exclude each other", describe(shape));
    return plans_.emplace(key, translate_errors(shape, [&] { return make_plan(shape); })).first->second;
  }

  void run(const MatmulPlan& plan, const MatmulOperands& operands, std::byte* workspace) {
    const ScopedOmpThreads threads(num_threads_);
    MatmulOperands used = operands;
    if (plan.reorders_b) {
      used.b = workspace + plan.all_scratch_bytes();
      plan.reorder_b.execute(stream_, {{DNNL_ARG_FROM, wrap(plan.b, engine_, operands.b)},
                                       {DNNL_ARG_TO, wrap(plan.used_b, engine_, used.b)},
                                       {DNNL_ARG_SCRATCHPAD, wrap(plan.reorder_scratch, engine_, workspace)}});
    }
    if (plan.adds_apart) used.out = workspace + plan.all_scratch_bytes() + plan.used_b_bytes;
    if (plan.num_blocks == 1) {
      const ScopedOmpThreads as_made(thread_invariant_ ? 1 : num_threads_);
      run_part(plan, plan.block, used, workspace, stream_);
    } else {
      run_blocks(plan, used, workspace);
    }
    if (plan.adds_apart) {
      add_to(static_cast<float*>(operands.out), static_cast<const float*>(used.out), plan.out_elements, num_threads_);
    }
  }

 private:
  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, DType, DType, bool, bool, bool, bool>;

  [[nodiscard]] MatmulPlan make_plan(const MatmulShape& shape) const {
    return {shape, engine_, num_threads_, thread_invariant_};
  }

  void run_part(const MatmulPlan& plan, const MatmulPlan::Part& part, const MatmulOperands& operands, std::byte* scratch,
                dnnl::stream& stream) const {
    std::unordered_map<int, dnnl::memory> arguments = {{DNNL_ARG_SRC, wrap(part.a, engine_, operands.a)},
                                                       {DNNL_ARG_WEIGHTS, wrap(plan.used_b, engine_, operands.b)},
                                                       {DNNL_ARG_DST, wrap(part.out, engine_, operands.out)},
                                                       {DNNL_ARG_SCRATCHPAD, wrap(part.scratch, engine_, scratch)}};
    if (operands.bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, wrap(plan.bias, engine_, operands.bias));
    part.product.execute(stream, arguments);
    stream.wait();
  }

  /// Each block on one thread, whichever is free.
  void run_blocks(const MatmulPlan& plan, const MatmulOperands& operands, std::byte* workspace) const {
    const auto num_threads = static_cast<int>(plan.num_scratches);
    parallel_items(plan.num_blocks, num_threads, [&](std::int64_t block) {
      const ScopedOmpThreads single(1);
      dnnl::stream stream(engine_);
      const bool is_last = block + 1 == plan.num_blocks && static_cast<bool>(plan.last.product);
      run_part(plan, is_last ? plan.last : plan.block,
               {.out = static_cast<std::byte*>(operands.out) + block * plan.out_stride_bytes,
                .a = static_cast<const std::byte*>(operands.a) + block * plan.a_stride_bytes,
                .b = operands.b,
                .bias = operands.bias},
               workspace + omp_get_thread_num() * plan.scratch_bytes, stream);
    });
  }

  /// oneDNN has bfloat16 from AVX-512 on; without AVX512-BF16 it converts by itself.
  [[nodiscard]] bool has_bfloat16() const {
    try {
      static_cast<void>(make_plan({16, 16, 16, DType::kBFloat16, DType::kBFloat16, false, {}}));
      return true;
    } catch (const dnnl::error& error) {
      return error.status != dnnl_unimplemented;  // any other error is for the product that meets it
    }
  }

  int num_threads_;
  bool thread_invariant_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::optional<bool> native_bfloat16_;  // not asked yet
  std::map<Key, MatmulPlan> plans_;
};

OneDnnMatmul::OneDnnMatmul(const MatmulSettings& settings) : impl_(std::make_unique<Impl>(settings)) {}
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
  const MatmulPlan& plan = impl_->plan_for(shape);
  translate_errors(shape, [&] { impl_->run(plan, {out, a, b, bias}, workspace.data()); });
}

bool OneDnnMatmul::widens(const MatmulShape& shape) const {
  return shape.dtype == DType::kBFloat16 && !impl_->native_bfloat16();
}

std::string OneDnnMatmul::library_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

void run(const ops::Matmul& op, const CpuContext& context) {
  const MatmulShape shape = op.check();
  ops::expect_supported(op.kName, shape.dtype, {DType::kFloat32, DType::kBFloat16});
  context.products->run(op.out.data(), op.a.data(), op.b.data(), op.bias.data(), shape, context.workspace);
}

void run(const ops::MatmulGeluBackward& op, const CpuContext& context) {
  const MatmulShape shape = op.check();
  run(ops::Matmul{op.dinp, op.dout, op.weight, {}, shape.options}, context);
  run(ops::GeluBackward{op.dinp, op.dinp, op.hidden}, context);
}

}  // namespace virgil::cpu
