// JSON to config and back. Read by events, which show the digits of a number as they were written.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/base/file_system.h"
#include "virgil/base/json.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/config_text.h"

namespace virgil {
namespace {

/// "line 3, column 4", from the parser's message.
std::string_view place_of(std::string_view what) {
  const std::size_t begin = what.find("line ");
  const std::size_t end = what.find(':', std::min(begin, what.size()));
  return begin == what.npos || end == what.npos ? "" : what.substr(begin, end - begin);
}

/// What people write where JSON has another way, in words; else the parser's own.
std::string plain_words(std::string_view what, std::string_view token) {
  const std::string_view place = place_of(what);
  if (token.ends_with('/')) return fmt::format("{}: a comment, which JSON does not have; take it out", place);
  if (token.ends_with('#')) {
    return fmt::format("{}: '#' begins a comment of Python or YAML; a config is JSON, such as {{\"n_layer\": 6}}", place);
  }
  if (token.ends_with('\'')) return fmt::format("{}: strings and keys take double quotes (\")", place);
  const bool closes = token.ends_with('}') || token.ends_with(']');
  if (closes && what.find("object key") != what.npos)
    return fmt::format("{}: a comma before the closing brace; take it out", place);
  if (token.ends_with('T') || token.ends_with('F') || token.ends_with('N')) {
    return fmt::format("{}: true, false and null are written in small letters", place);
  }
  return std::string(what);
}

/// Keys that only a model's config.json of Hugging Face has.
bool is_hugging_face_key(std::string_view name) {
  constexpr std::string_view kNames[] = {"architectures", "model_type", "_name_or_path", "activation_function",
                                         "transformers_version"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

/// Receives the parser's events and sets values as they come.
class ConfigReader final : public JsonEvents {
 public:
  ConfigReader(TrainConfig& config, const std::string& where) : JsonEvents(where), config_(config) {}

  bool null() override { return take("null", "null"); }
  bool boolean(bool value) override { return take(value ? "true" : "false", "true or false"); }
  bool number_integer(number_integer_t value) override { return take(std::to_string(value), "number"); }
  bool number_unsigned(number_unsigned_t value) override { return take(std::to_string(value), "number"); }
  bool number_float(number_float_t, const string_t& digits) override { return take(digits, "number"); }
  bool string(string_t& value) override { return take(value, "string"); }

  [[nodiscard]] std::vector<std::string> set_keys() const {
    std::vector<std::string> names;
    for (const auto& [name, written] : seen_) names.push_back(name);
    return names;
  }

 private:
  void on_start_object() override {
    if (depth() == 1) return;
    throw user_error("{}: {} is an object; all keys are at the top level, without nesting", where(), quoted_excerpt(key_));
  }
  void on_end_object() override {}
  void on_start_array() override {
    if (depth() == 1) throw not_an_object();
    const ConfigKey* known = find_config_key(key_);
    if (list_) throw user_error("{}: \"{}\" is a list in a list; it takes strings", where(), key_);
    if (known != nullptr && !is_list(*known)) throw user_error("{}: \"{}\" is a list; it takes one value", where(), key_);
    list_.emplace();
  }
  void on_end_array() override {
    const std::vector<std::string> values = *std::exchange(list_, std::nullopt);
    const ConfigKey* known = find_config_key(key_);
    if (known == nullptr) {
      take("", "string");  // which reports it
    } else {
      set_config_list(config_, *known, values, where());
    }
  }

  void on_key(std::string& name) override {
    key_ = name;
    const ConfigKey* known = find_config_key(name);
    if (known == nullptr && is_hugging_face_key(name)) {
      throw user_error(
          "{}: the config of a Hugging Face model (\"{}\"); train begins with such a model with --init_from FOLDER, and calc_params "
          "--hf {} counts it",
          where(), name, where());
    }
    if (known == nullptr) return;  // set_config_value reports it
    const auto [entry, is_new] = seen_.emplace(known->name, name);
    if (!is_new) throw user_error("{}: \"{}\" and \"{}\" are the same key; keep one", where(), entry->second, name);
    if (!known->saved) {
      throw user_error("{}: \"{}\" holds for one invocation only; give it as the flag --{}", where(), name, known->name);
    }
  }

  void on_syntax_error(std::size_t, const std::string& token, const std::string& what) override {
    throw user_error("{}: not valid JSON: {}", where(), plain_words(what, token));
  }

  UserError not_an_object() const {
    return user_error("{}: a config is one JSON object, such as {{\"n_layer\": 6, \"n_embd\": 384}}", where());
  }

  bool take(const std::string& value, const std::string& json_type) {
    if (depth() == 0) throw not_an_object();
    const ConfigKey* known = find_config_key(key_);
    if (known != nullptr) check_type(*known, value, json_type);
    if (list_) {
      list_->push_back(value);
      return true;
    }
    set_config_value(config_, key_, value, where());
    return true;
  }

  void check_type(const ConfigKey& known, const std::string& value, const std::string& json_type) const {
    const std::string wanted = type_text(known);
    const bool is_switch = known.name == "recompute" && json_type == "true or false";
    const bool is_item = json_type == "string" && is_list(known);
    const bool is_number = json_type == "number" && wanted == "whole number";
    const bool is_word = json_type == "string" && find_word(known, value) != nullptr;
    if (json_type == wanted || is_number || is_switch || is_word || is_item) return;
    const std::string found = json_type == "string" ? fmt::format("the string {}", quoted_excerpt(value)) : excerpt(value);
    const char* remedy = json_type == "string"          ? "; leave the quotes out"
                         : wanted.starts_with("string") ? "; put it in quotes"
                                                        : "";
    throw user_error("{}: \"{}\" is {}, but takes {}{}", where(), key_, found, allowed_text(known), remedy);
  }

  TrainConfig& config_;
  std::string key_;
  std::map<std::string, std::string> seen_;       // canonical name -> name as written
  std::optional<std::vector<std::string>> list_;  // what has been read of a list's strings
};

}  // namespace

std::vector<std::string> apply_config_file(TrainConfig& config, const std::filesystem::path& path) {
  return apply_config_json(config, read_file(path, kMaxConfigBytes), path.string());
}

std::vector<std::string> apply_config_json(TrainConfig& config, std::string_view json_text, const std::string& where) {
  TrainConfig changed = config;
  ConfigReader reader(changed, where);
  parse_json_events(json_text, reader);
  config = changed;
  return reader.set_keys();
}

std::string config_to_json(const TrainConfig& config) {
  nlohmann::ordered_json json;
  for (const ConfigKey& key : config_keys()) {
    if (!key.saved) continue;
    json[key.name] = nlohmann::ordered_json::parse(value_text(config, key));
  }
  return json.dump(2);
}

}  // namespace virgil
