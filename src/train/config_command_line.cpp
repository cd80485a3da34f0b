// The command line. Written out because the keys' table already holds all that a parser library asks for (types, ranges,
// aliases, help), and because set_config_value gives flags and files the same messages, with the nearest known name.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/train/config_schema.h"

namespace virgil {
namespace {

struct Flag {
  std::string written;  // "--lr", for messages
  std::string name;     // "lr"
  std::optional<std::string> value;
};

bool is_boolean(const ConfigKey& key) { return std::holds_alternative<bool TrainConfig::*>(key.member); }

bool is_config_flag(std::string_view name) { return name == "config" || name == "config_file"; }

UserError unknown_flag(const Flag& flag) {
  std::vector<std::string> names = {"config", "config_file", "help"};
  for (const ConfigKey& key : config_keys()) {
    names.push_back(key.name);
    names.insert(names.end(), key.aliases.begin(), key.aliases.end());
    if (is_boolean(key)) names.push_back("no_" + key.name);
  }
  const std::string nearest = nearest_name(flag.name, names);
  const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest);
  return user_error("{}: unknown flag{} (train --help lists all)", flag.written, hint);
}

/// Walks the arguments; next() takes the value that may follow a flag.
class ArgumentReader {
 public:
  explicit ArgumentReader(std::span<const std::string> arguments) : arguments_(arguments) {}

  [[nodiscard]] bool done() const { return position_ == arguments_.size(); }

  Flag next_flag() {
    const std::string& argument = arguments_[position_++];
    if (!argument.starts_with("--") || argument.size() == 2) {
      throw user_error("unexpected argument \"{}\"; values follow a flag, such as --input book.txt (train --help lists all)",
                       argument);
    }
    const std::size_t equals = argument.find('=');
    Flag flag{argument.substr(0, equals), argument.substr(2, equals == argument.npos ? equals : equals - 2), {}};
    std::ranges::replace(flag.name, '-', '_');
    if (equals != argument.npos) flag.value = argument.substr(equals + 1);
    return flag;
  }

  /// The value given with "=", or else the next argument, which may not look like a flag.
  std::string value_of(const Flag& flag) {
    if (flag.value) return *flag.value;
    if (done() || arguments_[position_].starts_with("--")) {
      throw user_error("{}: its value is missing; write {} VALUE, or {}=VALUE for a value that begins with \"--\"",
                       flag.written, flag.written, flag.written);
    }
    return arguments_[position_++];
  }

  /// All words up to the next flag, or the one given with "=".
  std::vector<std::string> values_of(const Flag& flag) {
    std::vector<std::string> values{value_of(flag)};
    while (!flag.value && !done() && !arguments_[position_].starts_with("--")) values.push_back(arguments_[position_++]);
    return values;
  }

  /// A switch stands alone or is followed by true or false.
  std::string switch_of(const Flag& flag) {
    if (flag.value) return *flag.value;
    const bool has_value = !done() && (arguments_[position_] == "true" || arguments_[position_] == "false");
    return has_value ? arguments_[position_++] : "true";
  }

 private:
  std::span<const std::string> arguments_;
  std::size_t position_ = 0;
};

struct Setting {
  const ConfigKey* key;
  std::vector<std::string> values;  // one, unless the key takes several
  std::string where;
};

Setting read_setting(const Flag& flag, ArgumentReader& reader) {
  if (const ConfigKey* key = find_config_key(flag.name)) {
    if (is_list(*key)) return {key, reader.values_of(flag), flag.written};
    return {key, {is_boolean(*key) ? reader.switch_of(flag) : reader.value_of(flag)}, flag.written};
  }
  if (flag.name.starts_with("no_")) {
    const ConfigKey* key = find_config_key(flag.name.substr(3));
    if (key != nullptr && is_boolean(*key)) {
      if (flag.value) throw user_error("{}: takes no value; write --{}={}", flag.written, key->name, *flag.value);
      return {key, {"false"}, flag.written};
    }
  }
  throw unknown_flag(flag);
}

}  // namespace

CommandLine parse_train_command_line(std::span<const std::string> arguments) {
  CommandLine line;
  line.help = std::ranges::any_of(arguments, [](const std::string& a) { return a == "--help" || a == "-h"; });
  if (line.help) return line;

  std::vector<Setting> settings;
  ArgumentReader reader(arguments);
  while (!reader.done()) {
    const Flag flag = reader.next_flag();
    if (is_config_flag(flag.name)) {
      line.config_file = reader.value_of(flag);
      if (line.config_file.empty()) throw user_error("{}: the name of a config file is missing", flag.written);
    } else {
      settings.push_back(read_setting(flag, reader));
    }
  }
  if (!line.config_file.empty()) apply_config_file(line.config, line.config_file);
  for (const Setting& setting : settings) {
    if (is_list(*setting.key)) {
      set_config_list(line.config, *setting.key, setting.values, setting.where);
    } else {
      set_config_value(line.config, setting.key->name, setting.values.front(), setting.where);
    }
    const bool is_new = std::ranges::find(line.set_keys, setting.key->name) == line.set_keys.end();
    if (is_new) line.set_keys.push_back(setting.key->name);
  }
  return line;
}

}  // namespace virgil
