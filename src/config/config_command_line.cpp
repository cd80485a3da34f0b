// The one reader of command lines. It knows the spelling of flags, the keys' table, which already holds all that a parser
// library asks for, and the names of other programs. Programs whose flags are bound to variables by CLI11 (generate, evaluate,
// tokenize) give it those that CLI11 knows, and CLI11 what it has read.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/foreign_names.h"
#include "virgil/config/preset_files.h"
#include "virgil/config/program_flags.h"
#include "virgil/config/value_words.h"

namespace virgil {
namespace {

struct Flag {
  std::string written;  // "--lr", for messages
  std::string name;     // "lr"
  std::optional<std::string> value;
};

bool is_boolean(const ConfigKey& key) { return std::holds_alternative<bool TrainConfig::*>(key.member); }

bool is_config_flag(std::string_view name) { return name == "config" || name == "config_file"; }

/// One dash and a letter, as llm.c's flags; not a negative number.
bool is_short_flag(const std::string& word) {
  return word.size() > 1 && word.front() == '-' && word[1] != '-' && (word[1] < '0' || word[1] > '9') && word[1] != '.';
}

/// Walks the arguments; what follows a flag is its value.
class ArgumentReader {
 public:
  explicit ArgumentReader(std::span<const std::string> arguments) : arguments_(arguments) {}

  [[nodiscard]] bool done() const { return position_ == arguments_.size(); }
  [[nodiscard]] bool at_flag() const { return done() || arguments_[position_].starts_with("--"); }
  const std::string& next_word() { return arguments_[position_++]; }
  [[nodiscard]] const std::string& peek() const { return arguments_[position_]; }

  /// The arguments stand at one.
  Flag next_flag() {
    const std::string& argument = arguments_[position_++];
    const std::size_t equals = argument.find('=');
    Flag flag{argument.substr(0, equals), argument.substr(2, equals == argument.npos ? equals : equals - 2), {}};
    std::ranges::replace(flag.name, '-', '_');
    if (equals != argument.npos) flag.value = argument.substr(equals + 1);
    return flag;
  }

  /// The value given with "=", or else the next argument, which may not look like a flag. `what` stands for it in a message.
  std::string value_of(const Flag& flag, std::string_view what = "VALUE") {
    if (flag.value) return *flag.value;
    if (at_flag()) {
      throw user_error("{}: its value is missing; write {} {}, or {}=VALUE for a value that begins with \"--\"", flag.written,
                       flag.written, what, flag.written);
    }
    return arguments_[position_++];
  }

  /// All words up to the next flag, or the one given with "=".
  std::vector<std::string> values_of(const Flag& flag) {
    std::vector<std::string> values{value_of(flag)};
    while (!flag.value && !at_flag()) values.push_back(arguments_[position_++]);
    return values;
  }

  /// A switch stands alone or is followed by a word such as true or False.
  std::string switch_of(const Flag& flag) {
    if (flag.value) return *flag.value;
    const bool has_value = !done() && parse_switch(arguments_[position_]).has_value();
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

/// Reads the arguments of one program into settings, a config file and words.
class CommandLineReader {
 public:
  CommandLineReader(std::span<const std::string> arguments, const ProgramSyntax& syntax)
      : reader_(arguments), syntax_(syntax), program_(syntax.program), words_mean_(syntax.words_mean) {}

  ProgramLine read() {
    while (!reader_.done()) {
      reader_.at_flag() ? read_flag(reader_.next_flag()) : read_word(reader_.next_word());
    }
    if (!line_.config_file.empty()) {
      const std::filesystem::path file = find_config_file(line_.config_file);
      line_.config_file = file.string();
      line_.file_keys = apply_config_file(line_.config, file);
    }
    for (const Setting& setting : settings_) apply(setting);
    take_inputs();
    settle_length();
    return {std::move(line_), std::move(own_)};
  }

 private:
  void read_flag(const Flag& flag) {
    if (flag.name.empty()) throw unexpected(flag.written);
    if (const ToolFlag* own = find_own(flag.name)) return read_own(*own, flag);
    if (const ToolFlag* own = find_other_name("--" + flag.name)) return read_own(*own, flag);
    if (const ToolFlag* own = flag.name.starts_with("no_") ? find_own(flag.name.substr(3)) : nullptr) {
      if (own->takes == ToolFlag::Takes::kNothing && !flag.value) return switch_own(*own, false);
    }
    if (!syntax_.takes_keys) return read_foreign_own(flag);
    if (is_config_flag(flag.name)) {
      line_.config_file = reader_.value_of(flag);
      if (line_.config_file.empty()) throw user_error("{}: the name of a config file is missing", flag.written);
      return;
    }
    if (auto setting = read_setting(flag)) settings_.push_back(std::move(*setting));
  }

  [[nodiscard]] const ToolFlag* find_own(std::string_view name) const {
    const auto found = std::ranges::find(syntax_.own, name, &ToolFlag::name);
    return found == syntax_.own.end() ? nullptr : &*found;
  }

  /// `written` has dashes, one or two.
  [[nodiscard]] const ToolFlag* find_other_name(std::string_view written) const {
    const auto found = std::ranges::find(syntax_.other_names, written, &FlagName::name);
    if (found == syntax_.other_names.end()) return nullptr;
    if (found->known.empty()) throw user_error("{}: no such flag here; {}", written, found->hint);
    return find_own(found->known);
  }

  void read_own(const ToolFlag& own, const Flag& flag) {
    using enum ToolFlag::Takes;
    const std::string_view what = own.values.empty() ? "VALUE" : std::string_view(own.values);
    if (own.takes == kNothing) {
      const std::string word = reader_.switch_of(flag);
      const std::optional<bool> on = parse_switch(word);
      if (!on) throw user_error("{} is {}, but takes true or false", flag.written, quoted_excerpt(word));
      return switch_own(own, *on);
    }
    if (own.takes == kValues) return own_.add(own.name, reader_.values_of(flag));
    if (own.takes == kOptionalValue && !flag.value && reader_.at_flag()) return own_.add(own.name, {});
    std::vector<std::string> values;
    if (flag.value || own.takes != kTwoValues) values.push_back(reader_.value_of(flag, what));
    while (own.takes == kTwoValues && values.size() < 2) {
      if (reader_.at_flag()) throw user_error("{}: it takes two values; write {} {}", flag.written, flag.written, what);
      values.push_back(reader_.next_word());
    }
    own_.add(own.name, std::move(values));
  }

  /// Off is what a switch is by itself, unless it has a counterpart.
  void switch_own(const ToolFlag& own, bool on) {
    own_.remove(own.name);
    if (on) return own_.add(own.name, {});
    if (const ToolFlag* counterpart = find_own("no_" + own.name)) own_.add(counterpart->name, {});
  }

  /// A flag of another program where only own flags are taken.
  void read_foreign_own(const Flag& flag) {
    using Kind = ForeignName::Kind;
    const ForeignName* foreign = find_foreign_name(flag.name);
    if (foreign == nullptr || foreign->kind == Kind::kHint) throw unknown_flag(flag);
    const ToolFlag* own = find_own(foreign->key);
    if (own == nullptr && !foreign->key.empty()) throw unknown_flag(flag);
    if (foreign->kind == Kind::kSame) return read_own(*own, flag);
    if (const auto meaning = read_foreign(*foreign, flag)) own_.add(meaning->key, {meaning->value});
  }

  /// Nothing where the flag asks for what holds anyway.
  std::optional<Setting> read_setting(const Flag& flag) {
    if (const ConfigKey* key = find_config_key(flag.name)) return Setting{key, read_values(*key, flag), flag.written};
    if (flag.name.starts_with("no_")) {
      const ConfigKey* key = find_config_key(flag.name.substr(3));
      if (key != nullptr && is_boolean(*key)) {
        if (flag.value) throw user_error("{}: takes no value; write --{}={}", flag.written, key->name, *flag.value);
        return Setting{key, {"false"}, flag.written};
      }
    }
    const ForeignName* foreign = find_foreign_name(flag.name);
    if (foreign == nullptr) throw unknown_flag(flag);
    auto meaning = read_foreign(*foreign, flag);
    if (!meaning) return std::nullopt;
    return Setting{find_config_key(meaning->key), {std::move(meaning->value)}, flag.written};
  }

  std::vector<std::string> read_values(const ConfigKey& key, const Flag& flag) {
    if (is_list(key)) return reader_.values_of(flag);
    if (is_boolean(key)) return {reader_.switch_of(flag)};
    // Elsewhere --gradient_checkpointing is a switch.
    const bool stands_alone = key.name == "recompute" && !flag.value && reader_.at_flag();
    return {stands_alone ? "true" : reader_.value_of(flag)};
  }

  /// Nothing, and a note, where it has no effect.
  std::optional<ForeignMeaning> read_foreign(const ForeignName& foreign, const Flag& flag) {
    std::optional<std::string> word = flag.value;
    if (!word && !reader_.done() && takes_word(foreign, reader_.peek())) word = reader_.next_word();
    ForeignMeaning meaning = meaning_of(foreign, flag.written, word);
    if (!meaning.key.empty()) return meaning;
    line_.notes.push_back(std::move(meaning.note));
    return std::nullopt;
  }

  void read_word(const std::string& word) {
    if (is_short_flag(word)) {
      const std::size_t equals = word.find('=');
      const ToolFlag* own = find_other_name(std::string_view(word).substr(0, equals));
      if (own == nullptr) throw one_dash(word);
      return read_own(*own, {word.substr(0, equals), own->name,
                             equals == word.npos ? std::nullopt : std::optional(word.substr(equals + 1))});
    }
    if (words_mean_ == WordsMean::kConfigOrInput) {
      const bool is_config = !word.empty() && (std::filesystem::path(word).extension() == ".json" || names_preset(word));
      const std::string extension = std::filesystem::path(word).extension().string();
      if (is_config || extension == ".py" || extension == ".yaml" || extension == ".yml") {
        if (!line_.config_file.empty())
          throw user_error("{}: a second config, after {}; leave one out", word, line_.config_file);
        line_.config_file = word;
        return;
      }
      if (!could_be_input(word)) throw unexpected(word);
    }
    line_.words.push_back(word);
  }

  /// A file or folder that is there, or a pattern. Other words are rather the rest of a mistyped flag.
  static bool could_be_input(const std::string& word) {
    std::error_code error;
    return word.find_first_of("*?[") != word.npos || (!word.empty() && std::filesystem::exists(word, error));
  }

  void apply(const Setting& setting) {
    if (is_list(*setting.key)) {
      set_config_list(line_.config, *setting.key, setting.values, setting.where);
    } else {
      set_config_value(line_.config, setting.key->name, setting.values.front(), setting.where);
    }
    note_as_set(setting.key->name);
  }

  void note_as_set(const std::string& name) {
    if (!is_set(name)) line_.set_keys.push_back(name);
  }
  [[nodiscard]] bool is_set(std::string_view name) const {
    return std::ranges::find(line_.set_keys, name) != line_.set_keys.end();
  }

  /// `train book.txt` is `train --input book.txt`.
  void take_inputs() {
    if (words_mean_ != WordsMean::kConfigOrInput || line_.words.empty()) return;
    if (is_set("input")) throw unexpected(line_.words.front());
    set_config_list(line_.config, *find_config_key("input"), line_.words, line_.words.front());
    note_as_set("input");
    line_.words.clear();
  }

  /// epochs wins over max_iters, unless a flag says max_iters and none says epochs.
  void settle_length() {
    if (!is_set("max_iters")) return;
    if (is_set("epochs") && line_.config.epochs > 0) {
      throw user_error("--epochs and --max_iters both say how long to train; give one of the two");
    }
    line_.config.epochs = 0;
  }

  [[nodiscard]] UserError unexpected(const std::string& word) const {
    if (const std::string near = nearest_path(word); !near.empty()) {
      return user_error("unexpected argument \"{}\": there is no such file here; did you mean {}?", word.substr(0, kMostShown),
                        near);
    }
    return user_error(
        "unexpected argument \"{}\": there is no file{} of that name here; values follow a flag, such as --input book.txt ({} --help lists all)",
        word.substr(0, kMostShown), words_mean_ == WordsMean::kConfigOrInput ? " and no preset" : "", program_);
  }

  [[nodiscard]] UserError one_dash(const std::string& word) const {
    const std::string shown = word.substr(0, kMostShown);
    const std::string name = word.substr(1, word.find('=') - 1);
    const ToolFlag* own = find_own(name);
    const ConfigKey* key = syntax_.takes_keys && name.size() > 2 ? find_config_key(name) : nullptr;
    if (own != nullptr || key != nullptr) {
      return user_error("unexpected argument \"{}\": flags have two dashes; write --{}", shown,
                        own != nullptr ? name : key->name);
    }
    const std::span<const ShortFlag> known = syntax_.takes_keys ? short_flags() : std::span<const ShortFlag>();
    const auto found = std::ranges::find(known, name, &ShortFlag::name);
    if (found != known.end()) return user_error("unexpected argument \"{}\": llm.c's {} is --{} here", word, word, found->key);
    return user_error("unexpected argument \"{}\": flags have two dashes ({} --help lists all)", shown, program_);
  }

  [[nodiscard]] UserError unknown_flag(const Flag& flag) const {
    std::vector<std::string> names = {"help", "version"};
    for (const ToolFlag& own : syntax_.own) names.push_back(own.name);
    std::string nearest = syntax_.own.empty() ? "" : nearest_name(flag.name, names);
    if (nearest.empty() && syntax_.takes_keys) {
      nearest = nearest_key(flag.name);
      names.insert(names.end(), {"config", "config_file"});
      for (const ConfigKey& key : config_keys()) {
        if (is_boolean(key)) names.push_back("no_" + key.name);
      }
    }
    if (nearest.empty() || flag.name.starts_with("no_")) {
      const std::string other = nearest_name(flag.name, names);
      if (!other.empty()) nearest = other;
    }
    const std::string hint = nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest);
    return user_error("{}: unknown flag{} ({} --help lists all)", flag.written.substr(0, kMostShown), hint, program_);
  }

  static constexpr std::size_t kMostShown = 100;

  ArgumentReader reader_;
  const ProgramSyntax& syntax_;
  std::string_view program_;
  WordsMean words_mean_;
  CommandLine line_;
  ToolArguments own_;
  std::vector<Setting> settings_;
};

bool asks_for(std::span<const std::string> arguments, std::string_view long_flag, std::string_view short_flag) {
  return std::ranges::any_of(arguments, [&](const std::string& a) { return a == long_flag || a == short_flag; });
}

}  // namespace

ProgramLine parse_program_line(std::span<const std::string> arguments, const ProgramSyntax& syntax) {
  ProgramLine line;
  line.line.help = asks_for(arguments, "--help", "-h");
  line.line.version = asks_for(arguments, "--version", "-V");
  if (line.line.help || line.line.version) return line;
  return CommandLineReader(arguments, syntax).read();
}

CommandLine parse_train_command_line(std::span<const std::string> arguments, std::string_view program, WordsMean words_mean) {
  return parse_program_line(arguments, {.program = program, .words_mean = words_mean}).line;
}

void tell_notes(std::span<const std::string> notes, Logger& log) {
  for (const std::string& note : notes) log.info("config   " + note);
}

CommandLine with_keys_of(CommandLine line, const CommandLine& flags) {
  for (const std::string& name : flags.set_keys) {
    std::visit([&](auto member) { line.config.*member = flags.config.*member; }, find_config_key(name)->member);
    if (std::ranges::find(line.set_keys, name) == line.set_keys.end()) line.set_keys.push_back(name);
  }
  return line;
}

CommandLine with_config(const CommandLine& flags, const std::filesystem::path& file) {
  CommandLine line = flags;
  line.config = {};
  line.config_file = file.string();
  line.file_keys = apply_config_file(line.config, file);
  line = with_keys_of(std::move(line), flags);
  const bool counts_steps = std::ranges::find(line.set_keys, "max_iters") != line.set_keys.end();
  if (counts_steps) line.config.epochs = 0;
  return line;
}

}  // namespace virgil
