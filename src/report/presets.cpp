#include "virgil/report/presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/config/preset_files.h"
#include "virgil/plan/parameter_count.h"
#include "virgil/plan/plan_config.h"
#include "virgil/report/fit_report.h"
#include "virgil/report/model_report.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

Preset load_preset(const fs::path& path, const Machine& machine) {
  CommandLine line;
  apply_config_file(line.config, path);
  line.config_file = path.string();
  Preset preset{.name = path.stem().string(), .path = path, .subject = make_subject({}, line, {}), .shape = {}};
  if (!preset.subject.trainable) throw user_error("{}: {}", path.string(), preset.subject.why_not);
  preset.subject.spec.name = preset.name;
  TrainConfig config = preset.subject.resolved;
  resolve_dtype(config, machine);
  if (config.batch_size == 0) throw user_error("{}: a preset names its batch_size", path.string());
  if (config.attention == "cudnn") {
    throw user_error("{}: attention is {}, whose scratch only a GPU can tell; give it to train instead (--attention {})",
                     path.string(), config.attention, config.attention);
  }
  preset.shape = training_shape(config, *preset.subject.trainable);
  preset.num_parameters = count_parameters(preset.subject.spec).total;
  preset.tokens_per_step = config.total_batch_size;
  for (const Recompute recompute : kAllRecompute) {
    TrainingShape shape = preset.shape;
    shape.recompute = recompute;
    preset.planned_bytes[static_cast<std::size_t>(recompute)] = plan_training(shape, *machine.traits).total_bytes();
  }
  return preset;
}

std::string class_text(std::int64_t planned_bytes) {
  const int gb = memory_class_gb(planned_bytes);
  return gb == 0 ? "above 80 GB" : fmt::format("{} GB", gb);
}

}  // namespace

std::optional<Recompute> Preset::least_recompute_within(std::int64_t limit_bytes) const {
  for (const Recompute recompute : kAllRecompute) {
    if (planned_bytes[static_cast<std::size_t>(recompute)] <= limit_bytes) return recompute;
  }
  return std::nullopt;
}

fs::path default_presets_folder() { return presets_folder(); }

std::vector<Preset> load_presets(const fs::path& folder, const Machine& machine) {
  std::error_code error;
  std::vector<Preset> presets;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") presets.push_back(load_preset(entry.path(), machine));
  }
  if (presets.empty())
    throw user_error("{}: there are no presets; name a folder of .json files with --configs", folder.string());
  std::ranges::sort(presets, {}, [](const Preset& p) { return std::pair(p.num_parameters, p.name); });
  return presets;
}

const Preset& find_preset(const std::vector<Preset>& presets, const std::string& name) {
  const std::string stem = fs::path(name).stem().string();
  std::vector<std::string> names;
  for (const Preset& preset : presets) {
    if (preset.name == stem || preset.name == name) return preset;
    names.push_back(preset.name);
  }
  const std::string nearest = nearest_name(stem, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("did you mean {}? ", nearest);
  throw user_error("preset \"{}\" is not there; {}known: {}", name, hint, fmt::join(names, ", "));
}

int memory_class_gb(std::int64_t planned_bytes) {
  constexpr std::int64_t kGb = 1'000'000'000;
  constexpr std::int64_t kFree = std::int64_t{1} << 30;
  for (const int gb : {4, 8, 12, 16, 20, 24, 32, 48, 80}) {
    if (planned_bytes + kFree <= gb * kGb) return gb;
  }
  return 0;
}

std::string describe_dtypes(const std::vector<Preset>& presets) {
  std::vector<std::string> names;
  for (const Preset& preset : presets) names.emplace_back(name_of(preset.shape.dtype));
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string describe_presets(const std::vector<Preset>& presets) {
  std::string text = fmt::format("{:<12}{:>14}{:>7}{:>7}{:>9}{:>7}{:>11}   planned GiB, by recompute{:>14}\n", "preset",
                                 "parameters", "layers", "width", "context", "batch", "tokens", "");
  text += fmt::format("{:<67}", "");
  for (const Recompute recompute : kAllRecompute) text += fmt::format("{:>9}", name_of(recompute));
  text += "   class\n";
  for (const Preset& preset : presets) {
    text += fmt::format("{:<12}{:>14}{:>7}{:>7}{:>9}{:>7}{:>11}", preset.name, format_count(preset.num_parameters),
                        preset.shape.model.num_layers, preset.shape.model.embedding_dim, preset.shape.model.block_size,
                        preset.shape.batch_size, format_count(preset.tokens_per_step));
    for (const Recompute recompute : kAllRecompute) {
      text += fmt::format("{:>8}{}", format_gib(preset.planned_bytes[static_cast<std::size_t>(recompute)]),
                          recompute == preset.shape.recompute ? "*" : " ");
    }
    text += fmt::format("  {}\n", class_text(preset.own_bytes()));
  }
  return text + fmt::format(
                    "* the preset's own level. class: the smallest usual memory that holds it with 1 GiB free.\n"
                    "planned in {} (dtype auto on GPUs from compute capability 8.0 on, and on processors that are fast at it), "
                    "with room\n"
                    "for the scratch of the ops; calc_params --config FILE plans for this machine exactly\n",
                    describe_dtypes(presets));
}

std::string describe_fitting_presets(const std::vector<Preset>& presets, const Machine& machine) {
  const std::int64_t limit_bytes = machine.free_bytes;
  std::string text = fmt::format("{} ({}), planned in {} ({})\n", format_bytes(limit_bytes), machine.free_source,
                                 describe_dtypes(presets), machine.description);
  for (const Preset& preset : presets) {
    const Verdict own = judge(preset.own_bytes(), limit_bytes);
    text += fmt::format("  {:<12}{:<7}{:>10}  recompute {}", preset.name, name_of(own), format_bytes(preset.own_bytes()),
                        name_of(preset.shape.recompute));
    const auto least = preset.least_recompute_within(limit_bytes);
    if (own == Verdict::kNo && !least) text += "; with more recomputation neither: calc_params --fits tells what helps";
    if (own == Verdict::kNo && least) {
      text +=
          fmt::format("; {} fits: {}", name_of(*least), format_bytes(preset.planned_bytes[static_cast<std::size_t>(*least)]));
    }
    text += "\n";
  }
  return text;
}

std::string describe_preset_difference(const Preset& a, const Preset& b) {
  const auto keys_a = nlohmann::ordered_json::parse(config_to_json(a.subject.resolved));
  const auto keys_b = nlohmann::ordered_json::parse(config_to_json(b.subject.resolved));
  std::string text = fmt::format("{:<24}{:>18}{:>18}\n", "key", a.name, b.name);
  bool differs = false;
  for (const auto& [key, value] : keys_a.items()) {
    if (value == keys_b.at(key)) continue;
    differs = true;
    text += fmt::format("{:<24}{:>18}{:>18}\n", key, value.dump(), keys_b.at(key).dump());
  }
  if (!differs) text += "(all keys are equal)\n";
  return text + "\n" + compare_models(a.subject, plan_subject(a.subject), b.subject, plan_subject(b.subject));
}

std::string presets_json(const std::vector<Preset>& presets, std::optional<std::int64_t> limit_bytes) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Preset& preset : presets) {
    nlohmann::ordered_json planned;
    for (const Recompute recompute : kAllRecompute) {
      planned[std::string(name_of(recompute))] = preset.planned_bytes[static_cast<std::size_t>(recompute)];
    }
    nlohmann::ordered_json json = {{"name", preset.name},
                                   {"file", preset.path.string()},
                                   {"parameters", preset.num_parameters},
                                   {"n_layer", preset.shape.model.num_layers},
                                   {"n_embd", preset.shape.model.embedding_dim},
                                   {"n_head", preset.shape.model.num_heads},
                                   {"block_size", preset.shape.model.block_size},
                                   {"batch_size", preset.shape.batch_size},
                                   {"grad_accum_steps", preset.shape.grad_accum_steps},
                                   {"tokens_per_step", preset.tokens_per_step},
                                   {"recompute", name_of(preset.shape.recompute)},
                                   {"dtype", name_of(preset.shape.dtype)},
                                   {"planned_bytes", preset.own_bytes()},
                                   {"planned_bytes_by_recompute", planned},
                                   {"class_gb", memory_class_gb(preset.own_bytes())}};
    if (limit_bytes) {
      const auto least = preset.least_recompute_within(*limit_bytes);
      json["fits"] = name_of(judge(preset.own_bytes(), *limit_bytes));
      json["least_recompute"] = least ? nlohmann::ordered_json(name_of(*least)) : nlohmann::ordered_json(nullptr);
    }
    list.push_back(json);
  }
  return list.dump(2) + "\n";
}

}  // namespace virgil
