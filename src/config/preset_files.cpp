#include "virgil/config/preset_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/config/config_schema.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolder = "configs";
constexpr std::string_view kJson = ".json";

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The preset's file, where the word is a bare name or lies in a folder called configs.
std::optional<fs::path> preset_file(const std::string& word) {
  const fs::path path(word);
  const fs::path folder = path.parent_path();
  if (!folder.empty() && folder.filename() != kFolder) return std::nullopt;
  const std::string name = path.extension() == kJson ? path.stem().string() : path.filename().string();
  const fs::path file = presets_folder() / (name + std::string(kJson));
  return !name.empty() && is_file(file) ? std::optional(file) : std::nullopt;
}

void refuse_other_languages(const std::string& word) {
  const std::string extension = fs::path(word).extension().string();
  constexpr std::array<std::string_view, 4> kOthers = {".py", ".yaml", ".yml", ".toml"};
  if (std::ranges::find(kOthers, extension) == kOthers.end()) return;
  throw user_error("{}: {} configs are not read; write the keys as JSON, such as configs/tiny.json, or give them as flags",
                   word, extension == ".py" ? "Python" : extension.substr(1));
}

UserError no_such_config(const std::string& word) {
  const std::vector<std::string> names = preset_names();
  const std::string nearest = nearest_name(fs::path(word).stem().string(), names);
  std::string hint = nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest);
  if (!names.empty()) hint += fmt::format(" Presets: {}", fmt::join(names, ", "));
  return user_error("{}: No such file, and no preset of that name{}", word,
                    nearest.empty() && !names.empty() ? "." + hint : hint);
}

}  // namespace

fs::path presets_folder() {
  if (is_folder(kFolder)) return kFolder;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& beside : {program.parent_path(), program.parent_path().parent_path()}) {
    // A folder of that name that holds no preset is another program's.
    if (is_file(beside / kFolder / "tiny.json")) return beside / kFolder;
  }
  return VIRGIL_SOURCE_CONFIGS_DIR;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(presets_folder(), error)) {
    if (entry.path().extension() == kJson) names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

bool names_preset(const std::string& word) { return !exists(word) && preset_file(word).has_value(); }

fs::path find_config_file(const std::string& word) {
  refuse_other_languages(word);
  if (is_folder(word) && is_file(fs::path(word) / "config.json")) {
    throw user_error("{}: a model's folder is no config of train; begin with its weights with --init_from {}", word, word);
  }
  if (exists(word) && !is_folder(word)) return word;
  if (is_file(word + std::string(kJson))) return word + std::string(kJson);
  if (const auto preset = preset_file(word)) return *preset;
  if (is_folder(word)) throw user_error("{}: a folder; --config takes a JSON file of it", word);
  throw no_such_config(word);
}

}  // namespace virgil
