// The presets in configs/ and what each takes.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "virgil/plan/training_plan.h"
#include "virgil/report/subject.h"

namespace virgil {

struct Preset {
  std::string name;  // "150M_1024"
  std::filesystem::path path;
  Subject subject;
  TrainingShape shape;
  std::int64_t num_parameters = 0;
  std::int64_t tokens_per_step = 0;
  std::array<std::int64_t, kAllRecompute.size()> planned_bytes{};  // at each recomputation level, its own batch

  /// At its own level.
  [[nodiscard]] std::int64_t own_bytes() const { return planned_bytes[static_cast<std::size_t>(shape.recompute)]; }
  /// The least recomputation that fits and how well, or nothing.
  [[nodiscard]] std::optional<Recompute> least_recompute_within(std::int64_t limit_bytes) const;
};

/// Every .json of a folder as `machine` would train it, smallest model first. Throws UserError when the folder has none, or one
/// is not a configuration.
[[nodiscard]] std::vector<Preset> load_presets(const std::filesystem::path& folder, const Machine& machine);
/// configs/ of the working directory, else of the source tree.
[[nodiscard]] std::filesystem::path default_presets_folder();
/// By name or file name; throws UserError with the nearest name.
[[nodiscard]] const Preset& find_preset(const std::vector<Preset>& presets, const std::string& name);

/// The smallest usual memory size in GB (4 to 80) that holds `planned_bytes` with 1 GiB kept free for code, libraries and a
/// driver; 0: none does.
[[nodiscard]] int memory_class_gb(std::int64_t planned_bytes);

/// The types that the presets are planned in: "bfloat16".
[[nodiscard]] std::string describe_dtypes(const std::vector<Preset>& presets);
/// The table that show_configs prints.
[[nodiscard]] std::string describe_presets(const std::vector<Preset>& presets);
/// Which fit into the memory of the machine that they were planned for, at which recomputation.
[[nodiscard]] std::string describe_fitting_presets(const std::vector<Preset>& presets, const Machine& machine);
/// Keys that differ, then the models and plans side by side.
[[nodiscard]] std::string describe_preset_difference(const Preset& a, const Preset& b);
[[nodiscard]] std::string presets_json(const std::vector<Preset>& presets, std::optional<std::int64_t> limit_bytes);

/// configs/README.md. The presets must have been planned with any_machine(), so that the file is the same everywhere.
[[nodiscard]] std::string presets_markdown(const std::vector<Preset>& presets);
/// What stands in README.md between the two markers: GPUs and the presets that fit them.
[[nodiscard]] std::string gpu_table_markdown(const std::vector<Preset>& presets);
inline constexpr const char* kTableBegin = "<!-- presets: made by show_configs --readme -->\n";
inline constexpr const char* kTableEnd = "<!-- presets: end -->\n";
/// `readme` with the table between the markers renewed. Throws UserError when they are not there.
[[nodiscard]] std::string renew_table(const std::string& readme, const std::string& table);

}  // namespace virgil
