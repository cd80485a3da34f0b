// The generated tables of configs/README.md and README.md.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/backend/cuda_backend.h"
#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/plan/catalogue.h"
#include "virgil/report/presets.h"

namespace virgil {

namespace {

/// Whether people say that a GPU has so many GB: it has them, and no more than a tenth besides.
bool is_of_size(const GpuModel& gpu, std::int64_t gb) {
  const std::int64_t bytes = gb * 1'000'000'000;
  return gpu.memory_bytes >= bytes && gpu.memory_bytes < bytes + bytes / 10;
}

/// With the type that it trains in, where that is not bfloat16: of as many bits, so that the same presets fit.
std::string name_in_table(const GpuModel& gpu) {
  const DType dtype = machine_of(gpu).dtypes.front();
  return dtype == DType::kBFloat16 ? gpu.name : fmt::format("{} ({})", gpu.name, name_of(dtype));
}

}  // namespace

std::string presets_markdown(const std::vector<Preset>& presets) {
  std::string text =
      "# Presets\n\n"
      "<!-- Made from the files of this folder by show_configs. Do not edit: run\n"
      "     build/show_configs --markdown > configs/README.md -->\n\n"
      "Tied weights, no biases, GPT-2's vocabulary padded to 50,304 rows (`tiny` and `tiny_fast`: characters, 128 rows). Start one with\n"
      "`train --config configs/tiny.json --input book.txt`; every key is also a flag.\n"
      "`tiny_fast` reaches a loss sooner ([docs/recipes.md](../docs/recipes.md)); its convolutions are not GPT-2's.\n\n"
      "| file | parameters | layers | width | heads | context | batch | tokens a step | GiB: none | gelu | norm | block | "
      "class |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const Preset& preset : presets) {
    text += fmt::format("| [{0}.json]({0}.json) | {1} | {2} | {3} | {4} | {5} | {6} | {7} |", preset.name,
                        format_count(preset.num_parameters), preset.shape.model.num_layers, preset.shape.model.embedding_dim,
                        preset.shape.model.num_heads, format_count(preset.shape.model.block_size), preset.shape.batch_size,
                        format_count(preset.tokens_per_step));
    for (const Recompute recompute : kAllRecompute) {
      const std::string bytes = format_gib(preset.planned_bytes[static_cast<std::size_t>(recompute)]);
      text += recompute == preset.shape.recompute ? fmt::format(" **{}** |", bytes) : fmt::format(" {} |", bytes);
    }
    const int gb = memory_class_gb(preset.own_bytes());
    text += gb == 0 ? " above 80 GB |\n" : fmt::format(" {} GB |\n", gb);
  }
  return text + fmt::format(
                    "\nThe GiB columns are the plan of training in {} (`dtype` auto on GPUs from compute capability 8.0 on,\n"
                    "and on processors that are fast at it), at the preset's batch and each level of\n"
                    "`recompute`; the preset's own level is bold. They leave room for the scratch memory of the ops on any "
                    "machine of a\n"
                    "few threads; `calc_params --config FILE` plans for yours exactly. The class is the smallest of 4, 8, 12, "
                    "16, 20, 24,\n"
                    "32, 48 and 80 GB that holds the bold figure with 1 GiB kept free for a driver, code and libraries. What "
                    "to do where\n"
                    "one does not fit: `calc_params --config FILE --fits 12GB`. What takes the memory:\n"
                    "[docs/memory.md](../docs/memory.md).\n",
                    describe_dtypes(presets));
}

std::string gpu_table_markdown(const std::vector<Preset>& presets) {
  // One line a memory size: the GPUs of that size and the largest preset at each context that fits.
  constexpr std::int64_t kFree = std::int64_t{1} << 30;
  std::string text =
      "| memory | for example | largest preset that fits, context 256 | context 1024 |\n"
      "|---|---|---|---|\n";
  for (const std::int64_t gb : {4, 8, 12, 16, 24, 32, 48, 80}) {
    std::string gpus;
    for (const GpuModel& gpu : known_gpus()) {
      if (gpu.compute_capability < kLeastComputeCapability || !is_of_size(gpu, gb)) continue;
      gpus += (gpus.empty() ? "" : ", ") + name_in_table(gpu);
    }
    text += fmt::format("| {} GB | {} |", gb, gpus);
    for (const std::int64_t context : {256, 1024}) {
      const Preset* largest = nullptr;
      for (const Preset& preset : presets) {
        const bool fits = preset.least_recompute_within(gb * 1'000'000'000 - kFree).has_value();
        if (fits && preset.shape.model.block_size == context) largest = &preset;
      }
      if (largest == nullptr) {
        text += " a smaller batch |";
        continue;
      }
      const Recompute least = *largest->least_recompute_within(gb * 1'000'000'000 - kFree);
      text += fmt::format(" {} (`--recompute {}`) |", largest->name, name_of(least));
    }
    text += "\n";
  }
  return text;
}

std::string renew_table(const std::string& readme, const std::string& table) {
  const std::size_t begin = readme.find(kTableBegin);
  const std::size_t end = readme.find(kTableEnd);
  if (begin == readme.npos || end == readme.npos || end < begin) {
    throw user_error("README.md has no table between \"{}\" and \"{}\"", std::string_view(kTableBegin).substr(0, 13),
                     kTableEnd);
  }
  const std::size_t after = begin + std::string_view(kTableBegin).size();
  return readme.substr(0, after) + table + readme.substr(end);
}

}  // namespace virgil
