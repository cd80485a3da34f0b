#include "cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cuda/device_use.h"
#include "cuda/graph_capture.h"
#include "virgil/base/error.h"

namespace virgil::cuda {

namespace {

/// The driver takes up to half a millisecond to tell what is free, which a step must not wait for each time.
constexpr std::chrono::seconds kOldestReading(1);

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

std::span<std::byte> CudaBackend::workspace(std::string_view op, std::int64_t needed_bytes) const {
  VIRGIL_CHECK(std::ssize(workspace_) >= needed_bytes, "{}: {} bytes of workspace are bound, {} are needed", op,
               workspace_.size(), needed_bytes);
  return workspace_;
}

void CudaBackend::expect_not_recording(const char* call) const {
  VIRGIL_CHECK(context_.place.now == nullptr, "{} while a sequence of ops is recorded", call);
}

void CudaBackend::expect_supported(std::string_view op, DType dtype) const {
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

}  // namespace virgil::cuda
