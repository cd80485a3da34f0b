#include "cuda/cudnn_attention.h"

// The frontend finds cuDNN's functions by dlsym: a program built with it also starts where the library is not. Of the CUDA
// runtime it would look for a shared library too, beside the one linked in; the graphs below ask for nothing that needs it.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cuda/handles.h"
#include "virgil/base/error.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the frontend's own name for the loaded library
}

namespace virgil::cuda {

namespace {

namespace fe = cudnn_frontend;
using TensorRef = std::shared_ptr<fe::graph::Tensor_attributes>;

constexpr const char* kLibrary = "libcudnn.so.9";
/// Before it the frontend pads the backward pass's lengths with a copy from the host, which a captured step must not have.
constexpr std::size_t kOldestVersion = 91501;
constexpr const char* kRemedy =
    "pip install --upgrade nvidia-cudnn-cu13 (cu12 for CUDA 12) and see docs/gpu.md for where it is "
    "looked for, or use --attention virgil";

std::string version_text(std::size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

/// Loads cuDNN for the rest of the process; returns what stands in the way, or nothing.
std::string load_library() {
  fe::cudnn_dlhandle = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (fe::cudnn_dlhandle == nullptr) {
    const char* reason = dlerror();
    return fmt::format("attention is cudnn, and {} cannot be loaded ({}): {}", kLibrary,
                       reason != nullptr ? reason : "no reason", kRemedy);
  }
  const std::size_t version = fe::detail::get_backend_version();
  if (version >= kOldestVersion) return {};
  return fmt::format("attention is cudnn, and {} is cuDNN {}; {} or newer is needed: {}", kLibrary, version_text(version),
                     version_text(kOldestVersion), kRemedy);
}

void require_library() {
  static const std::string problem = load_library();
  if (!problem.empty()) throw UserError(problem);
}

// --- Graphs ------------------------------------------------------------------------------------------------------------------

enum class Pass { kForward, kBackward };

/// Names of tensors in a graph; execution binds addresses to them.
enum TensorId : std::int64_t { kQ = 1, kK, kV, kOut, kLse, kDout, kDq, kDk, kDv };

std::string describe(Pass pass, const AttentionSizes& s) {
  return fmt::format("the {} pass of {} x {} heads x {} positions of head size {} in {}",
                     pass == Pass::kForward ? "forward" : "backward", s.batch, s.num_heads, s.length, s.head_size,
                     name_of(s.dtype));
}

/// A (B, NH, T, HS) view of rows that are `row_stride` elements apart, heads side by side in a row.
fe::graph::Tensor_attributes heads_in_rows(const char* name, TensorId id, const AttentionSizes& s, std::int64_t row_stride) {
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_uid(id)
      .set_dim({s.batch, s.num_heads, s.length, s.head_size})
      .set_stride({s.length * row_stride, s.head_size, row_stride, 1});
}

/// (B, NH, T, 1) float32: cuDNN's "stats" are the natural-log sums of exponents, which is lse.
fe::graph::Tensor_attributes log_sums(const AttentionSizes& s) {
  return fe::graph::Tensor_attributes()
      .set_name("lse")
      .set_uid(kLse)
      .set_dim({s.batch, s.num_heads, s.length, 1})
      .set_stride({s.num_heads * s.length, s.length, 1, 1})
      .set_data_type(fe::DataType_t::FLOAT);
}

/// Makes what a node returns an output of the graph, laid out as `layout`.
void set_output(const TensorRef& tensor, const fe::graph::Tensor_attributes& layout) {
  tensor->set_output(true).set_uid(layout.get_uid()).set_dim(layout.get_dim()).set_stride(layout.get_stride());
}

/// Causal from the first position: the band ends on the diagonal that starts at the top left.
template <typename Attributes>
Attributes causal(Attributes attributes, const AttentionSizes& s) {
  attributes.set_attn_scale(1 / std::sqrt(static_cast<float>(s.head_size)))
      .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
      .set_diagonal_band_right_bound(0);
  return attributes;
}

std::unique_ptr<fe::graph::Graph> make_graph(Pass pass, const AttentionSizes& s, int compute_capability) {
  auto graph = std::make_unique<fe::graph::Graph>();
  graph->set_io_data_type(s.dtype == DType::kBFloat16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT)
      .set_sm_version(compute_capability)
      // Plans live as long as the CudnnAttention that holds them: no captured step outlives it.
      .set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
  const std::int64_t C = s.num_heads * s.head_size;
  const TensorRef q = graph->tensor(heads_in_rows("q", kQ, s, 3 * C)), k = graph->tensor(heads_in_rows("k", kK, s, 3 * C)),
                  v = graph->tensor(heads_in_rows("v", kV, s, 3 * C));
  if (pass == Pass::kForward) {
    const auto [out, lse] =
        graph->sdpa(q, k, v, causal(fe::graph::SDPA_attributes().set_name("forward").set_generate_stats(true), s));
    set_output(out, heads_in_rows("out", kOut, s, C));
    set_output(lse, log_sums(s));
    lse->set_data_type(fe::DataType_t::FLOAT);
    return graph;
  }
  const TensorRef out = graph->tensor(heads_in_rows("out", kOut, s, C)),
                  dout = graph->tensor(heads_in_rows("dout", kDout, s, C)), lse = graph->tensor(log_sums(s));
  const auto [dq, dk, dv] = graph->sdpa_backward(
      q, k, v, out, dout, lse,
      causal(fe::graph::SDPA_backward_attributes().set_name("backward").set_deterministic_algorithm(true), s));
  set_output(dq, heads_in_rows("dq", kDq, s, 3 * C));
  set_output(dk, heads_in_rows("dk", kDk, s, 3 * C));
  set_output(dv, heads_in_rows("dv", kDv, s, 3 * C));
  return graph;
}

/// A graph for which cuDNN has chosen and built a kernel.
struct Plan {
  std::unique_ptr<fe::graph::Graph> graph;
  std::int64_t workspace_bytes = 0;
};

void expect_good(fe::error_t error, const char* step, Pass pass, const AttentionSizes& sizes) {
  if (error.is_good()) return;
  throw user_error("attention is cudnn, and cuDNN {} does not compute {} ({}: {}); use --attention virgil",
                   version_text(fe::detail::get_backend_version()), describe(pass, sizes), step, error.get_message());
}

void expect_supported(const AttentionSizes& sizes) {
  if (sizes.group() > 1) {
    throw user_error(
        "attention is cudnn, and {} query heads share {} heads of keys and values, which Virgil does not give to cuDNN; use "
        "--attention virgil",
        sizes.num_heads, sizes.num_kv_heads);
  }
  if (sizes.window > 0) {
    throw user_error(
        "attention is cudnn, and a query sees a window of {} positions, which Virgil does not give to cuDNN; use --attention "
        "virgil",
        sizes.window);
  }
  if (sizes.dtype == DType::kBFloat16 || sizes.dtype == DType::kFloat16) return;
  throw user_error(
      "attention is cudnn, which computes in bfloat16 and float16, and dtype is {}; use one of these, or "
      "--attention virgil",
      name_of(sizes.dtype));
}

void expect_no_dropout(const Dropout& dropout) {
  if (dropout.p == 0) return;
  throw user_error(
      "attention is cudnn, and dropout is {}: cuDNN would drop other elements than the seed numbers; set dropout to "
      "0, or use --attention virgil",
      dropout.p);
}

void expect_workspace(std::span<std::byte> workspace, const Plan& plan, Pass pass, const AttentionSizes& sizes) {
  VIRGIL_CHECK(std::ssize(workspace) >= plan.workspace_bytes, "{}: {} bytes of workspace are bound, {} are needed",
               describe(pass, sizes), workspace.size(), plan.workspace_bytes);
}

void* as_mutable(const void* address) { return const_cast<void*>(address); }  // the frontend's map has one type for all

/// Part 0, 1 or 2 (q, k, v or their gradients) of packed rows.
void* part(const void* packed, const AttentionSizes& s, std::int64_t index) {
  const std::int64_t part_bytes = s.num_heads * s.head_size * size_of(s.dtype);
  return static_cast<std::byte*>(as_mutable(packed)) + index * part_bytes;
}

}  // namespace

struct CudnnAttention::Parts {
  using Handle = Owned<cudnnHandle_t, fe::detail::destroy_handle>;
  using Key = std::tuple<Pass, std::int64_t, std::int64_t, std::int64_t, std::int64_t, DType>;

  explicit Parts(const LaunchContext& launch_context) : context(launch_context) {
    require_library();
    if (context.compute_capability < 80) {
      throw user_error("attention is cudnn, which needs compute capability 8.0, and the GPU has {}.{}; use --attention virgil",
                       context.compute_capability / 10, context.compute_capability % 10);
    }
  }

  void open_handle() {
    const auto expect = [](cudnnStatus_t status, const char* call) {
      if (status == CUDNN_STATUS_SUCCESS) return;
      throw user_error("attention is cudnn, and cuDNN {} does not start: {}: {}; use --attention virgil",
                       version_text(fe::detail::get_backend_version()), call, fe::detail::get_error_string(status));
    };
    cudnnHandle_t made = nullptr;
    expect(fe::detail::create_handle(&made), "cudnnCreate");
    handle = Handle(made);
    expect(fe::detail::set_stream(made, context.stream), "cudnnSetStream");
  }

  [[nodiscard]] Plan build(Pass pass, const AttentionSizes& sizes) const {
    expect_supported(sizes);
    Plan plan{.graph = make_graph(pass, sizes, context.compute_capability)};
    fe::graph::Graph& graph = *plan.graph;
    const auto expect = [&](fe::error_t error, const char* step) { expect_good(std::move(error), step, pass, sizes); };
    if (device) graph.set_device_properties(device);
    expect(graph.validate(), "validate");
    expect(device ? graph.build_operation_graph() : graph.build_operation_graph(handle.get()), "build_operation_graph");
    expect(graph.create_execution_plans({fe::HeurMode_t::A}), "create_execution_plans");
    expect(graph.check_support(), "check_support");
    expect(graph.build_plans(), "build_plans");
    expect(graph.get_workspace_size(plan.workspace_bytes), "get_workspace_size");
    return plan;
  }

  [[nodiscard]] const Plan& plan(Pass pass, const AttentionSizes& s) {
    const Key key{pass, s.batch, s.length, s.num_heads, s.head_size, s.dtype};
    const auto found = plans.find(key);
    return found != plans.end() ? found->second : plans.emplace(key, build(pass, s)).first->second;
  }

  void run(Pass pass, const AttentionSizes& sizes, std::unordered_map<std::int64_t, void*> addresses,
           std::span<std::byte> workspace) {
    VIRGIL_CHECK(handle.get() != nullptr, "{}: plans without a device compute nothing", describe(pass, sizes));
    const Plan& planned = plan(pass, sizes);
    expect_workspace(workspace, planned, pass, sizes);
    fe::error_t error = planned.graph->execute(handle.get(), addresses, workspace.data());
    if (error.is_good()) return;
    throw InternalError(fmt::format("cuDNN {}: {}: {}", version_text(fe::detail::get_backend_version()), describe(pass, sizes),
                                    error.get_message()));
  }

  LaunchContext context;
  Handle handle;                                 // none when planning without a device
  std::shared_ptr<fe::DeviceProperties> device;  // set when planning without a device
  std::map<Key, Plan> plans;
};

CudnnAttention::CudnnAttention(const LaunchContext& context) : parts_(std::make_unique<Parts>(context)) {
  parts_->open_handle();
}

CudnnAttention::CudnnAttention(const LaunchContext& context, std::string_view device_json)
    : parts_(std::make_unique<Parts>(context)) {
  parts_->device = std::make_shared<fe::DeviceProperties>();
  fe::error_t error = parts_->device->deserialize({device_json.begin(), device_json.end()});
  if (error.is_bad()) throw user_error("cuDNN does not take the description of a device: {}", error.get_message());
}

CudnnAttention::~CudnnAttention() = default;

std::int64_t CudnnAttention::forward_workspace_bytes(const AttentionSizes& sizes) {
  return parts_->plan(Pass::kForward, sizes).workspace_bytes;
}

std::int64_t CudnnAttention::backward_workspace_bytes(const AttentionSizes& sizes) {
  return parts_->plan(Pass::kBackward, sizes).workspace_bytes;
}

void CudnnAttention::forward(const AttentionSizes& sizes, void* out, float* lse, const void* qkv, const Dropout& dropout,
                             std::span<std::byte> workspace) {
  expect_no_dropout(dropout);
  parts_->run(Pass::kForward, sizes,
              {{kQ, part(qkv, sizes, 0)}, {kK, part(qkv, sizes, 1)}, {kV, part(qkv, sizes, 2)}, {kOut, out}, {kLse, lse}},
              workspace);
}

void CudnnAttention::backward(const AttentionSizes& sizes, void* dqkv, const void* dout, const void* out, const void* qkv,
                              const float* lse, const Dropout& dropout, std::span<std::byte> workspace) {
  expect_no_dropout(dropout);
  parts_->run(Pass::kBackward, sizes,
              {{kQ, part(qkv, sizes, 0)},
               {kK, part(qkv, sizes, 1)},
               {kV, part(qkv, sizes, 2)},
               {kOut, as_mutable(out)},
               {kLse, as_mutable(lse)},
               {kDout, as_mutable(dout)},
               {kDq, part(dqkv, sizes, 0)},
               {kDk, part(dqkv, sizes, 1)},
               {kDv, part(dqkv, sizes, 2)}},
              workspace);
}

std::string CudnnAttention::library_version() const { return version_text(fe::detail::get_backend_version()); }

}  // namespace virgil::cuda
