#include "virgil/format/hf_config.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/json.h"
#include "virgil/config/config_schema.h"
#include "virgil/model/family.h"

namespace virgil {

namespace {

/// 0 stands for a default inside Architecture; in a file it is a mistake.
void refuse_zero(const Family& family, const JsonObject& json, const std::string& where) {
  const auto has_default = [](std::int64_t Architecture::*member) {
    return member == &Architecture::d_ff || member == &Architecture::num_kv_heads || member == &Architecture::head_size;
  };
  for (const ConfigSize& size : family.sizes) {
    const char* key = key_of(size, json);
    if (!has_default(size.member) || !json.has(key) || json.integer(key) != 0) continue;
    throw user_error("{}: \"{}\" is 0, but must be at least 1", where, key);
  }
}

/// Hostile sizes end here, before anything is made of them.
void check_ranges(const Architecture& model, const JsonObject& json, const std::string& where) {
  for (const ConfigSize& size : model.family->sizes) {
    const char* key = key_of(size, json);
    if (!size.required && !json.has(key)) continue;
    const std::int64_t value = model.*size.member;
    const ConfigKey& range = *find_config_key(size.config_key);
    const auto smallest = std::max<std::int64_t>(1, static_cast<std::int64_t>(range.min));
    const auto largest = static_cast<std::int64_t>(range.max);
    if (value >= smallest && value <= largest) continue;
    throw user_error("{}: \"{}\" is {}, but Virgil takes {} to {}", where, key, value, smallest, largest);
  }
}

/// With what 0 stands for.
Architecture completed(Architecture model, const std::string& where) {
  try {
    return trainable(std::move(model));
  } catch (const UserError& error) {
    throw user_error("{}: {}", where, error.what());
  }
}

/// Of a model that Virgil computes, by one of its family's readers.
Architecture read_computable(std::string_view json_text, const std::string& where,
                             Architecture (*Family::*read)(const JsonObject&)) {
  const nlohmann::ordered_json parsed = parse_json(json_text, where);
  const JsonObject json(parsed, where);
  const std::string model_type = json.string("model_type");
  const Family* family = find_family(model_type);
  if (family == nullptr || !family->is_trained()) {
    throw user_error("{}: model_type is {}; only weights of {} can be read", where, quoted_excerpt(model_type),
                     family_names(true));
  }
  family->refuse_other_functions(json, where);
  Architecture model = (family->*read)(json);
  check_ranges(model, json, where);
  return completed(std::move(model), where);
}

}  // namespace

Architecture parse_hf_config(std::string_view json_text, const std::string& where) {
  const nlohmann::ordered_json parsed = parse_json(json_text, where);
  const JsonObject json(parsed, where);
  const std::string model_type = json.string("model_type");
  const Family* family = find_family(model_type);
  if (family == nullptr) {
    throw user_error("{}: model_type is {}; {} can be counted", where, quoted_excerpt(model_type), family_names(false));
  }
  refuse_zero(*family, json, where);
  Architecture model = family->read(json);
  model.name = where;
  return checked(std::move(model));
}

Architecture read_weights_config(std::string_view json_text, const std::string& where) {
  return read_computable(json_text, where, &Family::read);
}

Architecture read_checkpoint_config(std::string_view json_text, const std::string& where) {
  return read_computable(json_text, where, &Family::read_written);
}

std::string write_hf_config(const Architecture& model, std::int32_t end_of_text) {
  return model.family->write(model, end_of_text).dump(2) + "\n";
}

}  // namespace virgil
