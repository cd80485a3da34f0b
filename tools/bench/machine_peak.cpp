#include "bench/machine_peak.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "bench/call_timer.h"
#include "virgil/base/philox.h"
#include "virgil/memory/buffer.h"

namespace virgil::bench {

void fill_with_normal_values(Backend& backend, TensorView dst, float deviation) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 20;
  const std::int64_t total = dst.num_elements(), count = std::min(total, kMostElements);
  const RandomStream stream{.seed = 1, .purpose = RandomPurpose::kInit};
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(deviation * random_normal(stream, static_cast<std::uint64_t>(i)));
  }
  const Buffer buffer(backend.memory(), count * size_of(DType::kFloat32), {MemoryCategory::kWorkspace, "peak"});
  const TensorView wide(buffer.data(), DType::kFloat32, {count});
  backend.copy_from_host(wide, std::as_bytes(std::span(values)));
  for (std::int64_t done = 0; done < total; done += count) {
    const Shape part{std::min(count, total - done)};
    backend.run(ops::Convert{dst.slice(done, part), wide.slice(0, part)});
  }
  backend.synchronize();
}

namespace {

/// The shortest time of a call in several tries; on a device of ten calls each, whose start is then a tenth of what it is.
template <typename Call>
double best_ms_of(Backend& backend, const Call& call) {
  CallTimer timer(backend);
  const int tries = timer.on_device() ? 5 : 15, calls = timer.on_device() ? 10 : 1;
  double best_ms = timer.time(calls, call);
  for (int i = 1; i < tries; ++i) best_ms = std::min(best_ms, timer.time(calls, call));
  return best_ms;
}

double time_matmul_gflops(Backend& backend, DType dtype, std::int64_t m, std::int64_t n, std::int64_t k) {
  const MatmulShape shape{.m = m, .n = n, .k = k, .dtype = dtype, .out_dtype = dtype, .has_bias = false, .options = {}};
  const auto buffer = [&](std::int64_t bytes) { return Buffer(backend.memory(), bytes, {MemoryCategory::kWorkspace, "peak"}); };
  const auto tensor = [&](const Buffer& memory, std::int64_t rows, std::int64_t columns) {
    return TensorView(memory.data(), dtype, {rows, columns});
  };
  const std::int64_t size = size_of(dtype);
  const Buffer a = buffer(size * m * k), b = buffer(size * k * n), out = buffer(size * m * n);
  const Buffer workspace = buffer(backend.traits().matmul_workspace_bytes(shape));
  fill_with_normal_values(backend, tensor(a, m, k));
  fill_with_normal_values(backend, tensor(b, k, n));
  backend.bind_workspace({workspace.data(), static_cast<std::size_t>(workspace.size_bytes())});
  const double best_ms = best_ms_of(backend, [&] {
    backend.run(ops::Matmul{tensor(out, m, n), tensor(a, m, k), tensor(b, k, n), {}, {}});
  });
  backend.bind_workspace({});
  return 2 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / (best_ms * 1e6);
}

double measure_bandwidth() {
  constexpr std::size_t kElements = 1 << 25;  // 128 MiB an array
  constexpr int kRepetitions = 7;
  const std::size_t num_threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<float> a(kElements), b(kElements, 1.0F), c(kElements, 2.0F);
  const auto triad = [&](std::size_t thread) {
    const std::size_t end = kElements * (thread + 1) / num_threads;
    for (std::size_t i = kElements * thread / num_threads; i < end; ++i) a[i] = b[i] + 3.0F * c[i];
  };
  double best_ms = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    const Clock::time_point start = Clock::now();
    {
      std::vector<std::jthread> threads;
      for (std::size_t thread = 1; thread < num_threads; ++thread) threads.emplace_back(triad, thread);
      triad(0);
    }
    const double ms = milliseconds_since(start);
    best_ms = best_ms == 0 ? ms : std::min(best_ms, ms);
  }
  return 3.0 * kElements * sizeof(float) / (best_ms * 1e6);
}

/// Of a device with memory of its own: a copy reads and writes each byte.
double measure_device_bandwidth(Backend& backend) {
  constexpr std::int64_t kElements = std::int64_t{1} << 26;  // 256 MiB an array
  const Buffer from(backend.memory(), kElements * 4, {MemoryCategory::kWorkspace, "peak"});
  const Buffer to(backend.memory(), kElements * 4, {MemoryCategory::kWorkspace, "peak"});
  const TensorView src(from.data(), DType::kFloat32, {kElements}), dst(to.data(), DType::kFloat32, {kElements});
  backend.run(ops::SetZero{src});
  const double best_ms = best_ms_of(backend, [&] { backend.run(ops::Copy{dst, src}); });
  return 2.0 * kElements * sizeof(float) / (best_ms * 1e6);
}

double best_matmul_gflops(Backend& backend, DType dtype) {
  struct Size {
    std::int64_t m, n, k;
  };
  // A GPU needs more work than a processor to fill it.
  const std::vector<Size> sizes = backend.device_memory()
                                      ? std::vector<Size>{{8192, 2304, 768}, {8192, 4096, 4096}, {8192, 8192, 8192}}
                                      : std::vector<Size>{{3072, 384, 384}, {1536, 1152, 1152}, {3072, 768, 768}};
  double best = 0;
  for (const Size& s : sizes) best = std::max(best, time_matmul_gflops(backend, dtype, s.m, s.n, s.k));
  return best;
}

}  // namespace

MachinePeak measure_peak(Backend& backend, DType dtype) {
  MachinePeak peak;
  const auto dtypes = backend.dtypes();
  const auto last_fast = std::ranges::find(dtypes, DType::kFloat32);
  for (auto candidate = dtypes.begin(); candidate != dtypes.end(); ++candidate) {
    const bool wanted = *candidate == dtype || candidate <= last_fast;
    if (wanted) peak.gemm_gflops_by_dtype[std::string(name_of(*candidate))] = best_matmul_gflops(backend, *candidate);
  }
  peak.gemm_gflops = peak.gemm_gflops_by_dtype.at(std::string(name_of(dtype)));
  peak.bandwidth_gb_per_s = backend.device_memory() ? measure_device_bandwidth(backend) : measure_bandwidth();
  return peak;
}

std::string describe_peak(const MachinePeak& peak) {
  std::string peaks;
  const auto exact = peak.gemm_gflops_by_dtype.find(std::string(name_of(DType::kFloat32)));
  const double exact_gflops = exact == peak.gemm_gflops_by_dtype.end() ? 0 : exact->second;
  for (const auto& [dtype, gflops] : peak.gemm_gflops_by_dtype) {
    const bool is_slow = dtype != name_of(DType::kFloat32) && gflops < exact_gflops;
    peaks += fmt::format("{}{:.1f} GFLOP/s in {} matrix products{}", peaks.empty() ? "" : ", ", gflops, dtype,
                         is_slow ? " (below float32)" : "");
  }
  return fmt::format("{}, {:.1f} GB/s of memory", peaks, peak.bandwidth_gb_per_s);
}

}  // namespace virgil::bench
