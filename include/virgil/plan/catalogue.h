// Published models and GPUs: data/models.json and data/gpus.json, built into the programs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/model/architecture.h"

namespace virgil {

struct PublishedModel {
  Architecture spec;  // its name is the model's
  std::vector<std::string> aliases;
  std::string source;  // where the shape was published
};

struct GpuModel {
  std::string name;
  std::vector<std::string> aliases;
  int compute_capability = 0;     // ten times NVIDIA's: 89 for 8.9
  std::int64_t memory_bytes = 0;  // what the driver reports as the whole
  double float16_tflops = 0;      // dense matrix products with float32 accumulation
  double bfloat16_tflops = 0;     // the same; 0: the GPU has none
  double float32_tflops = 0;      // without tensor cores
  double bandwidth_gb_per_s = 0;  // 10^9 bytes a second
  std::string source;
};

/// Throw UserError naming `where` and the defect.
[[nodiscard]] std::vector<PublishedModel> parse_models(std::string_view json_text, const std::string& where);
[[nodiscard]] std::vector<GpuModel> parse_gpus(std::string_view json_text, const std::string& where);

/// The catalogues as built in.
[[nodiscard]] const std::vector<PublishedModel>& published_models();
[[nodiscard]] const std::vector<GpuModel>& known_gpus();

/// Whether two names are the same to a reader: case, spaces, '-' and '_' aside.
[[nodiscard]] bool same_name(std::string_view a, std::string_view b);
/// By name or alias; nullptr when unknown.
[[nodiscard]] const PublishedModel* find_model(std::string_view name);
[[nodiscard]] const GpuModel* find_gpu(std::string_view name);

}  // namespace virgil
