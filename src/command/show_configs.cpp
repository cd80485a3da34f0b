#include "virgil/command/show_configs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/program_version.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/presets.h"

namespace virgil {

namespace {

constexpr std::int64_t kMaxReadmeBytes = 1 << 20;

std::span<const ToolFlag> show_configs_flags() {
  using enum ToolFlag::Takes;
  static const std::vector<ToolFlag> flags = {
      {"fits", kOptionalValue, "[MEMORY]",
       "Which presets fit on this machine, such as into 12GB; without a value: its free memory."},
      {"gpu", kValue, "NAME", "Which presets fit a GPU of data/gpus.json."},
      {"diff", kTwoValues, "A B", "Two presets side by side."},
      {"json", kNothing, "", "Print JSON."},
      {"configs", kValue, "FOLDER", "Where the presets are (configs)."},
      {"markdown", kNothing, "", "Print configs/README.md."},
      {"readme", kValue, "FILE", "Print a README.md with its table renewed."},
      {"help", kNothing, "", "This text."},
      {"version", kNothing, "", "The version of Virgil."},
  };
  return flags;
}

/// As calc_params reads the same flags; `backend` keeps what this machine's plan refers to.
Machine machine_asked_about(const ToolArguments& arguments, std::unique_ptr<Backend>& backend) {
  const MachineRequest request = machine_request(arguments.value("gpu"), arguments.value("fits"));
  return find_machine(request, TrainConfig{}, 1, backend);
}

int show(const ToolArguments& arguments, const std::vector<std::string>& names, const std::filesystem::path& folder,
         std::ostream& out) {
  const bool asks_what_fits = arguments.has("fits") || arguments.has("gpu");
  std::unique_ptr<Backend> backend;
  const Machine machine = asks_what_fits ? machine_asked_about(arguments, backend) : any_machine();
  std::vector<Preset> presets = load_presets(folder, machine);
  if (!names.empty()) {
    std::vector<Preset> named;
    for (const std::string& name : names) named.push_back(find_preset(presets, name));
    presets = std::move(named);
  }
  if (arguments.has("diff")) {
    const std::vector<std::string>& two = arguments.values("diff");
    out << describe_preset_difference(find_preset(presets, two[0]), find_preset(presets, two[1]));
    return 0;
  }
  const std::int64_t limit_bytes = machine.free_bytes;
  if (arguments.has("json")) {
    out << presets_json(presets, asks_what_fits ? std::optional(limit_bytes) : std::nullopt);
  } else if (asks_what_fits) {
    out << describe_fitting_presets(presets, machine);
  } else {
    out << describe_presets(presets);
  }
  const auto fits = [&](const Preset& preset) { return preset.least_recompute_within(limit_bytes).has_value(); };
  return asks_what_fits && std::ranges::none_of(presets, fits) ? 1 : 0;
}

}  // namespace

int run_show_configs(std::span<const std::string> arguments, std::ostream& out, Logger& log) {
  const auto [line, parsed] =
      parse_program_line(arguments, {.program = "show_configs", .own = show_configs_flags(), .takes_keys = false});
  if (line.help) {
    out << "Shows the presets: parameters, planned memory, what fits.\n\n  show_configs [PRESETS] [flags]\n\n"
        << describe_flags(show_configs_flags());
    return 0;
  }
  if (line.version) {
    out << program_version("show_configs");
    return 0;
  }
  tell_notes(line.notes, log);
  const std::filesystem::path folder = parsed.value("configs").value_or(default_presets_folder().string());
  if (parsed.has("markdown")) {
    out << presets_markdown(load_presets(folder, any_machine()));
    return 0;
  }
  if (const auto readme = parsed.value("readme")) {
    out << renew_table(read_file(*readme, kMaxReadmeBytes), gpu_table_markdown(load_presets(folder, any_machine())));
    return 0;
  }
  return show(parsed, line.words, folder, out);
}

}  // namespace virgil
