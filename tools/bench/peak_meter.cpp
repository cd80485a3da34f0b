#include "bench/peak_meter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "bench/call_timer.h"
#include "bench/random_values.h"
#include "virgil/memory/buffer.h"

namespace virgil::bench {

/// Of a product (m, k) (k, n).
struct ProductSize {
  std::int64_t m, n, k;
};

namespace {

/// A GPU needs more work than a processor to fill it.
std::array<ProductSize, 3> product_sizes(Backend& backend) {
  using Sizes = std::array<ProductSize, 3>;
  return backend.device_memory() ? Sizes{{{8192, 2304, 768}, {8192, 4096, 4096}, {8192, 8192, 8192}}}
                                 : Sizes{{{3072, 384, 384}, {1536, 1152, 1152}, {3072, 768, 768}}};
}

Buffer peak_buffer(Backend& backend, std::int64_t bytes) {
  return {backend.memory(), bytes, {MemoryCategory::kWorkspace, "peak"}};
}

/// The type of the step, and each that is no slower than float32, which backends name by speed.
std::vector<DType> peak_dtypes(Backend& backend, DType wanted) {
  const auto dtypes = backend.dtypes();
  const auto last_fast = std::ranges::find(dtypes, DType::kFloat32);
  std::vector<DType> chosen;
  for (auto dtype = dtypes.begin(); dtype != dtypes.end(); ++dtype) {
    if (*dtype == wanted || dtype <= last_fast) chosen.push_back(*dtype);
  }
  return chosen;
}

}  // namespace

/// Matrix products in one type, of the size that is fastest.
class PeakMeter::Product {
 public:
  Product(Backend& backend, DType dtype) : backend_(backend), dtype_(dtype) {
    const auto sizes = product_sizes(backend);
    std::int64_t a = 0, b = 0, out = 0, workspace = 0;
    for (const ProductSize& size : sizes) {
      const auto [m, n, k] = size;
      const MatmulShape shape{.m = m, .n = n, .k = k, .dtype = dtype, .out_dtype = dtype, .has_bias = false, .options = {}};
      a = std::max(a, m * k);
      b = std::max(b, k * n);
      out = std::max(out, m * n);
      workspace = std::max(workspace, backend.traits().matmul_workspace_bytes(shape));
    }
    a_ = peak_buffer(backend, size_of(dtype) * a);
    b_ = peak_buffer(backend, size_of(dtype) * b);
    out_ = peak_buffer(backend, size_of(dtype) * out);
    workspace_ = peak_buffer(backend, workspace);
    fill_with_normal_values(backend, view(a_, 1, a));
    fill_with_normal_values(backend, view(b_, 1, b));
    choose_size(sizes);
  }

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] double slice_gflops() {
    constexpr double kSliceMs = 50;
    const int calls = timer_.on_device() ? kDeviceCalls : static_cast<int>(std::ceil(kSliceMs / best_ms_));
    return gflops_at(size_, mean_ms(size_, calls));
  }

 private:
  static constexpr int kDeviceCalls = 10;  // a call's start is then a tenth of what it is

  /// By the fastest of a few tries, the first of which makes the library's code.
  void choose_size(std::span<const ProductSize> sizes) {
    constexpr int kTries = 5;
    double best_gflops = 0;
    for (const ProductSize& size : sizes) {
      double ms = std::numeric_limits<double>::infinity();
      for (int i = 0; i < kTries; ++i) ms = std::min(ms, mean_ms(size, timer_.on_device() ? kDeviceCalls : 1));
      if (gflops_at(size, ms) <= best_gflops) continue;
      best_gflops = gflops_at(size, ms);
      size_ = size;
      best_ms_ = ms;
    }
  }

  [[nodiscard]] static double gflops_at(const ProductSize& size, double ms) {
    return 2 * static_cast<double>(size.m) * static_cast<double>(size.n) * static_cast<double>(size.k) / (ms * 1e6);
  }
  [[nodiscard]] TensorView view(const Buffer& memory, std::int64_t rows, std::int64_t columns) const {
    return {memory.data(), dtype_, {rows, columns}};
  }
  double mean_ms(const ProductSize& size, int calls) {
    const auto [m, n, k] = size;
    const ops::Matmul product{.out = view(out_, m, n), .a = view(a_, m, k), .b = view(b_, k, n), .bias = {}, .options = {}};
    backend_.bind_workspace({workspace_.data(), static_cast<std::size_t>(workspace_.size_bytes())});
    const double ms = timer_.time(calls, [&] { backend_.run(product); });
    backend_.bind_workspace({});
    return ms;
  }

  Backend& backend_;
  DType dtype_;
  CallTimer timer_{backend_};
  Buffer a_, b_, out_, workspace_;
  ProductSize size_ = {};
  double best_ms_ = 0;
};

/// What the memory's rate is measured on.
class PeakMeter::Memory {
 public:
  Memory(Backend& backend, std::int64_t num_threads)
      : backend_(backend),
        num_threads_(num_threads > 0 ? static_cast<std::size_t>(num_threads)
                                     : std::max(1U, std::thread::hardware_concurrency())) {
    if (backend.device_memory()) {
      constexpr std::int64_t kBytes = std::int64_t{1} << 28;
      from_ = peak_buffer(backend, kBytes);
      to_ = peak_buffer(backend, kBytes);
      backend.run(ops::SetZero{view(from_)});
    } else {
      constexpr std::size_t kElements = 1 << 25;  // 128 MiB an array
      a_.assign(kElements, 0.0F);
      b_.assign(kElements, 1.0F);
      c_.assign(kElements, 2.0F);
    }
  }

  [[nodiscard]] double slice_gb_per_s() { return a_.empty() ? copies_gb_per_s() : triads_gb_per_s(); }

 private:
  [[nodiscard]] static TensorView view(const Buffer& buffer) {
    return {buffer.data(), DType::kFloat32, {buffer.size_bytes() / size_of(DType::kFloat32)}};
  }
  /// A copy reads and writes each byte.
  double copies_gb_per_s() {
    constexpr int kCopies = 10;
    const double ms = timer_.time(kCopies, [&] { backend_.run(ops::Copy{view(to_), view(from_)}); });
    return 2 * static_cast<double>(from_.size_bytes()) / (ms * 1e6);
  }
  double triads_gb_per_s() {
    constexpr int kTriads = 2;
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < kTriads; ++i) triad();
    return kTriads * 3 * static_cast<double>(a_.size() * sizeof(float)) / (milliseconds_since(start) * 1e6);
  }
  void triad() {
    const auto part = [&](std::size_t thread) {
      const std::size_t end = a_.size() * (thread + 1) / num_threads_;
      for (std::size_t i = a_.size() * thread / num_threads_; i < end; ++i) a_[i] = b_[i] + 3.0F * c_[i];
    };
    std::vector<std::jthread> threads;
    for (std::size_t thread = 1; thread < num_threads_; ++thread) threads.emplace_back(part, thread);
    part(0);
  }

  Backend& backend_;
  std::size_t num_threads_;
  CallTimer timer_{backend_};
  Buffer from_, to_;              // of a device
  std::vector<float> a_, b_, c_;  // of a processor
};

PeakMeter::PeakMeter(Backend& backend, DType dtype, std::int64_t num_threads)
    : backend_(backend), dtype_(dtype), memory_(std::make_unique<Memory>(backend, num_threads)) {
  for (const DType type : peak_dtypes(backend, dtype)) products_.push_back(std::make_unique<Product>(backend, type));
}

PeakMeter::~PeakMeter() = default;

MachinePeak PeakMeter::around(const std::function<void()>& work) {
  if (slices_.empty()) measure_slice();
  const MachinePeak before = slices_.back();
  work();
  backend_.synchronize();
  measure_slice();
  return mean_of(before, slices_.back());
}

void PeakMeter::measure_slice() {
  MachinePeak slice;
  for (const auto& product : products_) {
    const double gflops = product->slice_gflops();
    slice.gemm_gflops_by_dtype[std::string(name_of(product->dtype()))] = gflops;
    if (product->dtype() == dtype_) slice.gemm_gflops = gflops;
  }
  slice.bandwidth_gb_per_s = memory_->slice_gb_per_s();
  slices_.push_back(std::move(slice));
}

}  // namespace virgil::bench
