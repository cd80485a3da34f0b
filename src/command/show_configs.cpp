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
#include "virgil/config/foreign_names.h"
#include "virgil/config/program_version.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/presets.h"
#include "virgil/report/tool_arguments.h"

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

UserError unknown_flag(const std::string& written) {
  std::vector<std::string> flags;
  for (const ToolFlag& flag : show_configs_flags()) flags.push_back(flag.name);
  const std::string nearest = nearest_name(written.substr(std::min(written.find_first_not_of('-'), written.size())), flags);
  return user_error("{}: unknown flag{} (show_configs --help lists all)", written.substr(0, 100),
                    nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest));
}

/// The names among the words; flags of other programs that ask for what holds anyway are told, all others refused.
std::vector<std::string> preset_names(const std::vector<std::string>& words, Logger& log) {
  std::vector<std::string> names;
  std::vector<std::string> notes;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("-")) {
      names.push_back(words[i]);
      continue;
    }
    const std::string written = words[i].substr(0, words[i].find('='));
    const ForeignName* foreign = written.starts_with("--") ? find_foreign_name(written.substr(2)) : nullptr;
    using Kind = ForeignName::Kind;
    if (foreign == nullptr || (foreign->kind != Kind::kNoEffect && foreign->kind != Kind::kOnlyOff))
      throw unknown_flag(words[i]);
    std::optional<std::string> value;
    if (written.size() < words[i].size()) value = words[i].substr(written.size() + 1);
    if (!value && i + 1 < words.size() && takes_word(*foreign, words[i + 1])) value = words[++i];
    notes.push_back(meaning_of(*foreign, written, value).note);
  }
  tell_notes(notes, log);
  return names;
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
  const ToolArguments parsed(arguments, show_configs_flags());
  if (parsed.has("help") || std::ranges::find(parsed.others(), "-h") != parsed.others().end()) {
    out << "Shows the presets: parameters, planned memory, what fits.\n\n  show_configs [PRESETS] [flags]\n\n"
        << describe_flags(show_configs_flags());
    return 0;
  }
  if (parsed.has("version")) {
    out << program_version("show_configs");
    return 0;
  }
  const std::filesystem::path folder = parsed.value("configs").value_or(default_presets_folder().string());
  if (parsed.has("markdown")) {
    out << presets_markdown(load_presets(folder, any_machine()));
    return 0;
  }
  if (const auto readme = parsed.value("readme")) {
    out << renew_table(read_file(*readme, kMaxReadmeBytes), gpu_table_markdown(load_presets(folder, any_machine())));
    return 0;
  }
  return show(parsed, preset_names(parsed.others(), log), folder, out);
}

}  // namespace virgil
