#include "model/families/rope_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"

namespace virgil {

namespace {

using Kind = RotaryScalingKind;
using Json = nlohmann::ordered_json;

constexpr const char* kParameters = "rope_parameters";
constexpr const char* kScaling = "rope_scaling";
constexpr const char* kTheta = "rope_theta";
constexpr const char* kType = "rope_type";
constexpr const char* kOldType = "type";
constexpr const char* kPartial = "partial_rotary_factor";
constexpr const char* kOriginal = "original_max_position_embeddings";

constexpr std::array<std::pair<Kind, const char*>, 5> kTypes = {{{Kind::kNone, "default"},
                                                                 {Kind::kLinear, "linear"},
                                                                 {Kind::kDynamic, "dynamic"},
                                                                 {Kind::kYarn, "yarn"},
                                                                 {Kind::kLlama3, "llama3"}}};

/// The dictionary of the scaling, by whichever name.
std::optional<JsonObject> dictionary_of(const JsonObject& json) {
  for (const char* key : {kParameters, kScaling}) {
    if (json.has(key)) return json.object(key);
  }
  return std::nullopt;
}

std::string type_of(const JsonObject& dictionary) {
  return dictionary.string_or(kType, dictionary.string_or(kOldType, kTypes.front().second));
}

std::optional<Kind> kind_of(const std::string& type) {
  const auto* found =
      std::ranges::find(kTypes, std::string_view(type), [](const auto& entry) { return std::string_view(entry.second); });
  return found == kTypes.end() ? std::nullopt : std::optional(found->first);
}

/// A number that stands in the dictionary, or beside it.
double number_of(const JsonObject& json, const std::optional<JsonObject>& dictionary, const char* key, double absent) {
  const double beside = json.number_or(key, absent);
  return dictionary ? dictionary->number_or(key, beside) : beside;
}

RotaryScaling read_scaling(const JsonObject& dictionary, Kind kind, std::int64_t block_size) {
  const RotaryScaling usual{.kind = kind};
  RotaryScaling scaling = usual;
  if (kind == Kind::kNone) return scaling;
  scaling.factor = dictionary.number_or("factor", usual.factor);
  if (has_original(kind)) scaling.original = dictionary.integer_or(kOriginal, block_size);
  if (kind == Kind::kLlama3) {
    scaling.low_frequency = dictionary.number_or("low_freq_factor", usual.low_frequency);
    scaling.high_frequency = dictionary.number_or("high_freq_factor", usual.high_frequency);
  }
  if (kind == Kind::kYarn) {
    scaling.beta_fast = dictionary.number_or("beta_fast", usual.beta_fast);
    scaling.beta_slow = dictionary.number_or("beta_slow", usual.beta_slow);
    scaling.attention_factor = dictionary.number_or("attention_factor", usual.attention_factor);
    scaling.whole_pairs = dictionary.boolean_or("truncate", usual.whole_pairs);
  }
  return scaling;
}

Json json_of(const RotaryScaling& scaling) {
  const auto* type = std::ranges::find(kTypes, scaling.kind, [](const auto& entry) { return entry.first; });
  Json json = {{kType, type->second}};
  if (scaling.kind == Kind::kNone) return json;
  json["factor"] = scaling.factor;
  if (has_original(scaling.kind)) json[kOriginal] = scaling.original;
  if (scaling.kind == Kind::kLlama3) {
    json["low_freq_factor"] = scaling.low_frequency;
    json["high_freq_factor"] = scaling.high_frequency;
  }
  if (scaling.kind == Kind::kYarn) {
    json["beta_fast"] = scaling.beta_fast;
    json["beta_slow"] = scaling.beta_slow;
    json["truncate"] = scaling.whole_pairs;
    if (scaling.attention_factor != 0) json["attention_factor"] = scaling.attention_factor;
  }
  return json;
}

}  // namespace

RotarySettings read_rope(const JsonObject& json, const Architecture& model) {
  const std::optional<JsonObject> dictionary = dictionary_of(json);
  RotarySettings rotary;
  rotary.theta = number_of(json, dictionary, kTheta, rotary.theta);
  if (!dictionary) return rotary;
  rotary.scaling = read_scaling(*dictionary, kind_of(type_of(*dictionary)).value_or(Kind::kNone), model.block_size);
  return rotary;
}

void refuse_unknown_rope(const JsonObject& json, const std::string& where) {
  const std::optional<JsonObject> dictionary = dictionary_of(json);
  // transformers reads it for scaled positions of these families, and not for others: no two programs agree on such a file.
  if (const double share = number_of(json, dictionary, kPartial, 1); share != 1) {
    throw user_error("{}: \"{}\" is {}; in models of this family whole heads turn", where, kPartial, share);
  }
  if (!dictionary) return;
  const std::string type = type_of(*dictionary);
  const std::optional<Kind> kind = kind_of(type);
  if (!kind) {
    throw user_error(
        "{}: \"{}\" is {}; Virgil knows default, linear, dynamic, yarn and llama3, and would not give this model's "
        "results",
        dictionary->where(), kType, quoted_excerpt(type));
  }
  for (const char* key : {"mscale", "mscale_all_dim", "short_factor", "long_factor"}) {
    if (dictionary->has(key)) throw user_error("{}: \"{}\" is set, which Virgil does not compute", dictionary->where(), key);
  }
  // As the key rope_scaling has them: a wrong one is told here, with the file's name.
  try {
    (void)parse_rotary_scaling(to_string(read_scaling(*dictionary, *kind, 1)));
  } catch (const UserError& error) {
    throw user_error("{}: {}", dictionary->where(), error.what());
  }
}

void write_rope(Json& json, const RotarySettings& rotary) {
  Json parameters = json_of(rotary.scaling);
  Json old = rotary.scaling.kind == Kind::kNone ? Json(nullptr) : parameters;
  parameters[kTheta] = rotary.theta;
  json[kTheta] = rotary.theta;
  json[kScaling] = std::move(old);
  json[kParameters] = std::move(parameters);
}

}  // namespace virgil
