// What dtype auto stands for on a processor that multiplies bfloat16: the type whose products are faster there, which its
// instructions alone do not tell. Measured once a machine and kept in the user's cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "virgil/backend/backend.h"
#include "virgil/plan/run_plan.h"

namespace virgil {

/// GFLOP/s of matrix products.
struct ProductRates {
  double float32 = 0;
  double bfloat16 = 0;
};

/// A linear layer. By default a micro-batch's rows, the width of models that people train on processors, and its MLP.
struct LinearSizes {
  std::int64_t rows = 256;
  std::int64_t width = 512;
  std::int64_t hidden = 2048;
};
/// Times the three products of the layer's forward and backward pass in both types, in turns, some tens of milliseconds in all;
/// the best of each. Binds a workspace of its own, and none in the end.
[[nodiscard]] ProductRates measure_product_rates(Backend& backend, const LinearSizes& sizes = {});

/// GFLOP/s of the same products in one type; on a GPU that is too fast for them, of larger ones.
[[nodiscard]] double measure_product_rate(Backend& backend, DType dtype);

/// Where measurements are kept: virgil/ of $XDG_CACHE_HOME or ~/.cache; empty: nowhere.
[[nodiscard]] std::filesystem::path measurement_cache_folder();

/// The processor, the backend and what else decides its rates, in words. Another one is measured anew.
[[nodiscard]] std::string describe_processor(const Backend& backend);

struct DtypeMeasuring {
  std::filesystem::path cache_folder = measurement_cache_folder();
  std::function<ProductRates(Backend&)> measure = [](Backend& backend) { return measure_product_rates(backend); };
};

/// Kept rates for `processor`; nothing where there are none or the file is not what was written.
[[nodiscard]] std::optional<ProductRates> read_product_rates(const std::filesystem::path& cache_folder,
                                                             const std::string& processor);

/// Where the machine's first type is bfloat16 and it computes in its own memory, puts the faster type first and notes both
/// rates in machine.dtype_note. Rates come from the cache, else are measured and kept there; a cache that cannot be written is
/// no error.
void prefer_faster_dtype(Machine& machine, Backend& backend, const DtypeMeasuring& measuring = {});

}  // namespace virgil
