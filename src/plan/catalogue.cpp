#include "virgil/plan/catalogue.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "plan/embedded_data.h"
#include "virgil/base/error.h"
#include "virgil/base/json.h"
#include "virgil/model/family.h"

namespace virgil {

namespace {

/// What the models of a family have in common.
Architecture usual_model(const std::string& model_type, const std::string& where) {
  const Family* family = find_family(model_type);
  if (family == nullptr) throw user_error("{}: \"family\" is \"{}\"; choose one of {}", where, model_type, family_names(false));
  return family->usual();
}

Architecture read_spec(const JsonObject& json, const std::string& where) {
  Architecture spec = usual_model(json.string("family"), where);
  spec.name = json.string("name");
  spec.num_layers = json.integer("n_layer");
  spec.num_heads = json.integer("n_head");
  spec.num_kv_heads = json.integer_or("n_kv_head", 0);
  spec.head_size = json.integer_or("head_size", 0);
  spec.embedding_dim = json.integer("n_embd");
  spec.d_ff = json.integer_or("d_ff", 0);
  spec.block_size = json.integer("block_size");
  spec.vocab_size = json.integer("vocab_size");
  spec.tie_weights = json.boolean_or("tie_weights", spec.tie_weights);
  return checked(std::move(spec));
}

std::string plain(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

template <typename Entry, typename Name>
const Entry* find_entry(const std::vector<Entry>& entries, std::string_view name, const Name& name_of_entry) {
  for (const Entry& entry : entries) {
    const auto is_same = [&](const std::string& alias) { return same_name(alias, name); };
    if (is_same(name_of_entry(entry)) || std::ranges::any_of(entry.aliases, is_same)) return &entry;
  }
  return nullptr;
}

}  // namespace

std::vector<PublishedModel> parse_models(std::string_view json_text, const std::string& where) {
  const nlohmann::ordered_json parsed = parse_json(json_text, where);
  std::vector<PublishedModel> models;
  for (const JsonObject& json : JsonObject(parsed, where).objects("models")) {
    models.push_back({read_spec(json, where), json.strings_or_none("aliases"), json.string("source")});
  }
  return models;
}

std::vector<GpuModel> parse_gpus(std::string_view json_text, const std::string& where) {
  const nlohmann::ordered_json parsed = parse_json(json_text, where);
  std::vector<GpuModel> gpus;
  for (const JsonObject& json : JsonObject(parsed, where).objects("gpus")) {
    const std::int64_t memory_mib = json.integer("memory_mib");
    if (memory_mib < 1 || memory_mib > (std::int64_t{1} << 30)) throw user_error("{}: memory_mib is {}", where, memory_mib);
    const double capability = json.number("compute_capability");
    const auto tenfold = static_cast<int>(std::lround(10 * std::clamp(capability, 0.0, 100.0)));
    if (tenfold < 10) throw user_error("{}: compute_capability is {}", where, capability);
    gpus.push_back({.name = json.string("name"),
                    .aliases = json.strings_or_none("aliases"),
                    .compute_capability = tenfold,
                    .memory_bytes = memory_mib << 20,
                    .float16_tflops = json.number("float16_tflops"),
                    .bfloat16_tflops = json.number("bfloat16_tflops"),
                    .float32_tflops = json.number("float32_tflops"),
                    .bandwidth_gb_per_s = json.number("bandwidth_gb_per_s"),
                    .source = json.string("source")});
  }
  return gpus;
}

const std::vector<PublishedModel>& published_models() {
  static const std::vector<PublishedModel> models = parse_models(embedded::kModelsJson, "data/models.json");
  return models;
}

const std::vector<GpuModel>& known_gpus() {
  static const std::vector<GpuModel> gpus = parse_gpus(embedded::kGpusJson, "data/gpus.json");
  return gpus;
}

bool same_name(std::string_view a, std::string_view b) { return plain(a) == plain(b); }

const PublishedModel* find_model(std::string_view name) {
  return find_entry(published_models(), name, [](const PublishedModel& model) { return model.spec.name; });
}

const GpuModel* find_gpu(std::string_view name) {
  return find_entry(known_gpus(), name, [](const GpuModel& gpu) { return gpu.name; });
}

}  // namespace virgil
