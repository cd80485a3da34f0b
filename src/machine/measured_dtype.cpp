#include "virgil/machine/measured_dtype.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/base/sha256.h"
#include "virgil/memory/buffer.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

constexpr int kRepetitions = 5;
constexpr int kCacheFormat = 1;
constexpr std::int64_t kMaxCacheBytes = 4096;

/// A linear layer: its forward product, and the two of the way back.
class LinearLayer {
 public:
  LinearLayer(Backend& backend, DType dtype, const LinearSizes& sizes)
      : backend_(backend),
        input_(make({sizes.rows, sizes.width}, dtype)),
        weight_(make({sizes.width, sizes.hidden}, dtype)),
        output_(make({sizes.rows, sizes.hidden}, dtype)),
        dinput_(make({sizes.rows, sizes.width}, dtype)),
        dweight_(make({sizes.width, sizes.hidden}, DType::kFloat32)) {
    const auto [M, K, N] = sizes;
    const MatmulShape forward{.m = M, .n = N, .k = K, .dtype = dtype, .out_dtype = dtype};
    const MatmulShape to_input{.m = M, .n = K, .k = N, .dtype = dtype, .out_dtype = dtype, .options = kTransposeB};
    const MatmulShape to_weight{.m = K, .n = N, .k = M, .dtype = dtype, .out_dtype = DType::kFloat32, .options = kTransposeA};
    for (const MatmulShape& shape : {forward, to_input, to_weight}) {
      scratch_bytes_ = std::max(scratch_bytes_, backend.traits().matmul_workspace_bytes(shape));
    }
    for (const Operand* operand : {&input_, &weight_, &output_, &dinput_, &dweight_}) backend.run(ops::SetZero{operand->view});
  }

  [[nodiscard]] std::int64_t scratch_bytes() const { return scratch_bytes_; }

  double seconds() {
    const auto start = std::chrono::steady_clock::now();
    backend_.run(ops::Matmul{output_.view, input_.view, weight_.view, {}, {}});
    backend_.run(ops::Matmul{dinput_.view, output_.view, weight_.view, {}, kTransposeB});
    backend_.run(ops::Matmul{dweight_.view, input_.view, output_.view, {}, kTransposeA});
    backend_.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  static constexpr MatmulOptions kTransposeB{.transpose_b = true};
  static constexpr MatmulOptions kTransposeA{.transpose_a = true, .accumulate = true};

  struct Operand {
    Buffer buffer;
    TensorView view;
  };
  [[nodiscard]] Operand make(const Shape& shape, DType dtype) const {
    Buffer buffer(backend_.memory(), shape.num_elements() * size_of(dtype), {MemoryCategory::kWorkspace, "measured product"});
    const TensorView view(buffer.data(), dtype, shape);
    return {std::move(buffer), view};
  }

  Backend& backend_;
  Operand input_, weight_, output_, dinput_, dweight_;
  std::int64_t scratch_bytes_ = 0;
};

/// Of the three products.
double gflop_of(const LinearSizes& sizes) { return 3 * 2e-9 * static_cast<double>(sizes.rows * sizes.width * sizes.hidden); }

/// GFLOP/s of the fastest of a few turns; the first makes the library's code.
double best_rate(Backend& backend, DType dtype, const LinearSizes& sizes) {
  LinearLayer layer(backend, dtype, sizes);
  const Buffer scratch(backend.memory(), layer.scratch_bytes(), {MemoryCategory::kWorkspace, "measured product"});
  backend.bind_workspace({scratch.data(), static_cast<std::size_t>(scratch.size_bytes())});
  double best_s = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition <= kRepetitions; ++repetition) {
    const double now_s = layer.seconds();
    if (repetition > 0) best_s = std::min(best_s, now_s);
  }
  backend.bind_workspace({});
  return gflop_of(sizes) / best_s;
}

fs::path cache_file(const fs::path& folder, const std::string& processor) {
  constexpr std::size_t kDigits = 16;
  return folder / fmt::format("product_rates-{}.json", sha256_hex(processor).substr(0, kDigits));
}

void keep_product_rates(const fs::path& folder, const std::string& processor, const ProductRates& rates) {
  if (folder.empty()) return;
  const nlohmann::ordered_json json = {{"product_rates", kCacheFormat},
                                       {"processor", processor},
                                       {"float32_gflops", rates.float32},
                                       {"bfloat16_gflops", rates.bfloat16}};
  try {
    const auto files = make_posix_file_system();
    files->create_directories(folder);
    write_file_atomically(*files, cache_file(folder, processor), json.dump(2) + "\n");
  } catch (const std::exception&) {
    // It is measured again the next time.
  }
}

/// A rate that a machine can have; 0: none.
double rate_in(const JsonObject& json, const char* key) {
  constexpr double kMost = 1e9;
  const double rate = json.number(key);
  return std::isfinite(rate) && rate > 0 && rate < kMost ? rate : 0;
}

/// The lines of /proc/cpuinfo that tell one kind of processor from another.
std::string processor_name() {
  std::ifstream lines("/proc/cpuinfo");
  std::string name;
  for (std::string line; std::getline(lines, line) && !line.empty();) {
    for (const std::string_view field : {"vendor_id", "cpu family", "model", "stepping"}) {
      if (!line.starts_with(field)) continue;
      const std::size_t colon = line.find(": ");
      if (colon != line.npos) name += (name.empty() ? "" : ", ") + line.substr(colon + 2);
      break;
    }
  }
  return name.empty() ? "unknown processor" : name;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

ProductRates measure_product_rates(Backend& backend, const LinearSizes& sizes) {
  LinearLayer exact(backend, DType::kFloat32, sizes);
  LinearLayer rounded(backend, DType::kBFloat16, sizes);
  const Buffer scratch(backend.memory(), std::max(exact.scratch_bytes(), rounded.scratch_bytes()),
                       {MemoryCategory::kWorkspace, "measured product"});
  backend.bind_workspace({scratch.data(), static_cast<std::size_t>(scratch.size_bytes())});
  double exact_seconds = std::numeric_limits<double>::infinity();
  double rounded_seconds = exact_seconds;
  // The first turn makes the library's code. In turns, so that what else the machine does meets both.
  for (int repetition = 0; repetition <= kRepetitions; ++repetition) {
    const double exact_now = exact.seconds();
    const double rounded_now = rounded.seconds();
    if (repetition == 0) continue;
    exact_seconds = std::min(exact_seconds, exact_now);
    rounded_seconds = std::min(rounded_seconds, rounded_now);
  }
  backend.bind_workspace({});
  const double gflop = gflop_of(sizes);
  return {.float32 = gflop / exact_seconds, .bfloat16 = gflop / rounded_seconds};
}

double measure_product_rate(Backend& backend, DType dtype) {
  constexpr double kFastGflops = 1000;
  constexpr LinearSizes kLarge{.rows = 4096, .width = 1024, .hidden = 4096};
  const double rate = best_rate(backend, dtype, {});
  return rate > kFastGflops ? std::max(rate, best_rate(backend, dtype, kLarge)) : rate;
}

fs::path measurement_cache_folder() {
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return fs::path(cache) / "virgil";
  if (const std::string home = variable("HOME"); !home.empty()) return fs::path(home) / ".cache" / "virgil";
  return {};
}

std::string describe_processor(const Backend& backend) {
  std::string text = fmt::format("{}; {}", processor_name(), backend.description());
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"}) {
    if (const std::string value = variable(name); !value.empty()) text += fmt::format("; {}={}", name, value);
  }
  return text;
}

std::optional<ProductRates> read_product_rates(const fs::path& cache_folder, const std::string& processor) {
  if (cache_folder.empty()) return std::nullopt;
  try {
    const fs::path file = cache_file(cache_folder, processor);
    const nlohmann::ordered_json parsed = parse_json(read_file(file, kMaxCacheBytes), file.string());
    const JsonObject json(parsed, file.string());
    if (json.integer("product_rates") != kCacheFormat || json.string("processor") != processor) return std::nullopt;
    const ProductRates rates{.float32 = rate_in(json, "float32_gflops"), .bfloat16 = rate_in(json, "bfloat16_gflops")};
    if (rates.float32 > 0 && rates.bfloat16 > 0) return rates;
  } catch (const std::exception&) {
    // Absent, unreadable or damaged: as if nothing had been kept.
  }
  return std::nullopt;
}

void prefer_faster_dtype(Machine& machine, Backend& backend, const DtypeMeasuring& measuring) {
  if (machine.is_gpu || machine.dtypes.front() != DType::kBFloat16) return;
  const std::string processor = describe_processor(backend);
  std::optional<ProductRates> rates = read_product_rates(measuring.cache_folder, processor);
  const bool kept = rates.has_value();
  if (!kept) {
    rates = measuring.measure(backend);
    keep_product_rates(measuring.cache_folder, processor, *rates);
  }
  const DType faster = rates->bfloat16 > rates->float32 ? DType::kBFloat16 : DType::kFloat32;
  std::stable_partition(machine.dtypes.begin(), machine.dtypes.end(), [&](DType dtype) { return dtype == faster; });
  machine.dtype_note = fmt::format("bfloat16 {:.0f} against float32 {:.0f} GFLOP/s, measured{}", rates->bfloat16,
                                   rates->float32, kept ? fmt::format(" before ({})", measuring.cache_folder.string()) : "");
}

}  // namespace virgil
