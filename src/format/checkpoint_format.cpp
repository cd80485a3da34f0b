#include "format/checkpoint_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"
#include "virgil/base/sha256.h"
#include "virgil/model/parameter_layout.h"

namespace virgil {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormatName = "virgil-checkpoint";
constexpr std::int64_t kFormatVersion = 1;

/// JSON has no NaN and no infinity, and decimals invite rounding: the bits count, the decimal is for readers.
Json write_exact(double value) {
  const Json decimal = std::isfinite(value) ? Json(value) : Json(nullptr);
  return {{"value", decimal}, {"bits", fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value))}};
}

double read_exact(const JsonObject& state, const char* key) {
  const JsonObject exact = state.object(key);
  const std::string text = exact.string("bits");
  std::uint64_t bits = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (error != std::errc() || stop != text.data() + text.size() || text.size() != 16) {
    throw user_error("{}: {} is not 16 hexadecimal digits", exact.where(), quoted_excerpt(text));
  }
  return std::bit_cast<double>(bits);
}

void read_file_table(const JsonObject& table, FileTable& files) {
  for (const auto& [name, entry] : table.json().items()) {
    // A checkpoint speaks of its own folder only.
    constexpr std::string_view kNotInNames("/\0", 2);
    if (name.empty() || name.front() == '.' || name.find_first_of(kNotInNames) != name.npos) {
      throw user_error("{}: {} is not the name of a file in the checkpoint", table.where(), quoted_excerpt(name));
    }
    const JsonObject file(entry, fmt::format("{}: {}", table.where(), quoted_excerpt(name)));
    files[name] = {file.string("sha256"), file.integer("size_bytes")};
  }
}

bool is_flat(const Json& config) {
  const auto is_plain = [](const Json& value) { return !value.is_structured(); };
  return config.is_object() && std::ranges::all_of(config, [&](const Json& value) {
           return is_plain(value) || (value.is_array() && std::ranges::all_of(value, is_plain));
         });
}

std::vector<ExpectedTensor> tensors_of(const Architecture& model) {
  std::vector<ExpectedTensor> tensors;
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.parameters()) tensors.push_back({spec.name, DType::kFloat32, spec.stored_shape});
  return tensors;
}

}  // namespace

std::string write_state(const TrainingState& state, const FileTable& files) {
  Json table = Json::object();
  for (const auto& [name, file] : files) table[name] = {{"size_bytes", file.size_bytes}, {"sha256", file.sha256}};
  Json json = {
      {"format", kFormatName},
      {"version", kFormatVersion},
      {"step", state.step},
      {"tokens_seen", state.tokens_seen},
      {"seed", state.seed},
      {"best_val_loss", write_exact(state.best_val_loss)},
      {"best_step", state.best_step},
      {"last_val_loss", write_exact(state.last_val_loss)},
      {"last_eval_step", state.last_eval_step},
      {"data_fingerprint", state.data_fingerprint},
      {"val_fingerprint", state.val_fingerprint},
      {"config", state.config_json.empty() ? Json::object() : Json::parse(state.config_json)},
      {"files", table},
  };
  if (state.loss_scaler.scale > 0) {
    json["loss_scale"] = write_exact(state.loss_scaler.scale);
    json["loss_scale_good_steps"] = state.loss_scaler.good_steps;
  }
  return json.dump(2) + "\n";
}

void read_state(std::string_view text, const std::string& where, TrainingState& state, FileTable& files) {
  const Json parsed = parse_json(text, where);
  const JsonObject json(parsed, where);
  const std::string format = json.string("format");
  const std::int64_t version = json.integer("version");
  if (format != kFormatName || version != kFormatVersion) {
    throw user_error(
        "{}: its format is {} version {}, this program reads \"{}\" version {}; use the version of Virgil that wrote it", where,
        quoted_excerpt(format), version, kFormatName, kFormatVersion);
  }
  state.step = json.integer("step");
  state.tokens_seen = json.integer("tokens_seen");
  state.seed = json.unsigned_integer("seed");
  state.best_val_loss = read_exact(json, "best_val_loss");
  state.best_step = json.integer("best_step");
  state.last_val_loss = read_exact(json, "last_val_loss");
  state.last_eval_step = json.integer("last_eval_step");
  state.data_fingerprint = json.string("data_fingerprint");
  state.val_fingerprint = json.string_or("val_fingerprint", "");
  state.loss_scaler = {};
  if (json.has("loss_scale")) {
    state.loss_scaler.scale = read_exact(json, "loss_scale");
    state.loss_scaler.good_steps = json.integer("loss_scale_good_steps");
  }
  const Json& config = json.at("config");
  if (!is_flat(config)) throw user_error("{}: \"config\" is not a flat JSON object", where);
  state.config_json = config.dump(2);
  read_file_table(json.object("files"), files);
}

bool is_flat_config(std::string_view config_text) { return is_flat(Json::parse(config_text, nullptr, false)); }

std::string write_state_hash(std::string_view state_text) {
  return fmt::format("{}  {}\n", sha256_hex(state_text), kStateFile);
}

std::vector<ExpectedTensor> expected_parameters(const Architecture& model) { return tensors_of(model); }

std::vector<ExpectedTensor> absent_biases(const Architecture& model) {
  if (model.biases.all() || !model.family->has_all_biases) return {};
  Architecture sizes = model;
  sizes.biases = kAllBiases;
  std::vector<ExpectedTensor> tensors = tensors_of(trainable(sizes));
  std::erase_if(tensors, [](const ExpectedTensor& tensor) { return !tensor.name.ends_with(".bias"); });
  return tensors;
}

OptimizerKind optimizer_of(std::string_view parameter, const std::function<bool(const std::string&)>& holds) {
  const auto fits = [&](OptimizerKind kind) {
    const std::vector<OptimizerState> states = traits_of(kind).states;
    const std::int64_t held = std::ranges::count_if(
        states, [&](const OptimizerState& state) { return holds(fmt::format("{}.{}", state.name, parameter)); });
    // The most that are there, of which the fewest are missing.
    return std::pair(held, held == 0 ? 0 : held - std::ssize(states));
  };
  return *std::ranges::max_element(kAllOptimizers, {}, fits);
}

std::vector<ExpectedTensor> expected_states(const Architecture& model, const StorageType& storage,
                                            const std::function<bool(const std::string&)>& holds) {
  std::vector<ExpectedTensor> tensors;
  const ParameterLayout layout(model);
  for (const ParameterSpec& spec : layout.parameters()) {
    for (const OptimizerState& state : traits_of(optimizer_of(spec.name, holds), storage).states) {
      const PlannedState kept{.name = std::string(state.name), .extent = {.storage = state.storage, .per = state.per}};
      tensors.push_back(stored_state(kept, spec));
    }
  }
  return tensors;
}

StorageType state_storage_of(const SafetensorsFile& optimizer) {
  const auto& entries = optimizer.entries();
  const auto found = std::ranges::find_if(kStateStorages, [&](const StorageType& storage) {
    return !entries.empty() && entries.front().dtype_name == safetensors_name(storage.unit);
  });
  return found == kStateStorages.end() ? kStateStorages.front() : *found;
}

}  // namespace virgil
