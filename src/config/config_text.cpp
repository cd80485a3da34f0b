// What people read about keys: messages, --help and docs/configuration.md.
#include "virgil/config/config_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "virgil/config/program_flags.h"

namespace virgil {
namespace {

bool is_unlimited(const ConfigKey& key) { return key.min == key.max; }

std::string range_text(const ConfigKey& key) {
  const std::string type = type_text(key);
  if (is_unlimited(key)) return fmt::format("a {}", type);
  std::string words;
  for (const ConfigKey::Word& word : key.words) words += word.name + (&word == &key.words.back() ? " or " : ", ");
  return fmt::format("{}a {} from {} to {}", words, type, key.min, key.max);
}

std::string key_entry(const ConfigKey& key) {
  const bool is_switch = std::holds_alternative<bool TrainConfig::*>(key.member);
  std::string body = key.help;
  if (!is_switch && (!is_unlimited(key) || !key.choices.empty())) body += fmt::format(" Takes {}.", allowed_text(key));
  for (const std::string& alias : key.aliases) body += fmt::format(" Also --{}.", alias);
  body += fmt::format(" [{}]", value_text(TrainConfig{}, key));
  return help_entry((is_switch ? "--[no_]" : "--") + key.name, body);
}

/// A vertical bar would end the cell of a Markdown table.
std::string escape_cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string markdown_row(const ConfigKey& key) {
  std::string names = fmt::format("`{}`", key.name);
  for (const std::string& alias : key.aliases) names += fmt::format("<br>`{}`", alias);
  const std::string help = key.saved ? key.help : key.help + " Flag only: not part of a config file.";
  return fmt::format("| {} | `{}` | {} | {} |\n", names, value_text(TrainConfig{}, key), escape_cell(allowed_text(key)),
                     escape_cell(help));
}

}  // namespace

std::string type_text(const ConfigKey& key) {
  constexpr const char* kNames[] = {"whole number",  "whole number", "number",
                                    "true or false", "string",       "string or list of strings"};
  return kNames[key.member.index()];
}

std::string allowed_text(const ConfigKey& key) {
  if (!key.choices.empty()) return fmt::format("one of {}", fmt::join(key.choices, ", "));
  if (std::holds_alternative<bool TrainConfig::*>(key.member)) return type_text(key);
  // Seeds use all of their type; nothing else that is a number is unlimited.
  if (std::holds_alternative<std::uint64_t TrainConfig::*>(key.member)) return "a whole number from 0 to 2^64 - 1";
  return range_text(key);
}

const ConfigKey::Word* find_word(const ConfigKey& key, std::int64_t value) {
  const auto word = std::ranges::find(key.words, value, &ConfigKey::Word::value);
  return word == key.words.end() ? nullptr : &*word;
}

const ConfigKey::Word* find_word(const ConfigKey& key, std::string_view name) {
  const auto word = std::ranges::find(key.words, name, &ConfigKey::Word::name);
  return word == key.words.end() ? nullptr : &*word;
}

std::string value_text(const TrainConfig& config, const ConfigKey& key) {
  return std::visit(
      [&](auto member) {
        if constexpr (std::is_same_v<decltype(member), std::int64_t TrainConfig::*>) {
          if (const ConfigKey::Word* word = find_word(key, config.*member)) return nlohmann::json(word->name).dump();
        }
        if constexpr (std::is_same_v<decltype(member), std::vector<std::string> TrainConfig::*>) {
          if ((config.*member).size() == 1) return nlohmann::json((config.*member).front()).dump();
        }
        return nlohmann::json(config.*member).dump();
      },
      key.member);
}

std::string plain_value(const TrainConfig& config, const ConfigKey& key) {
  if (const auto* text = std::get_if<std::string TrainConfig::*>(&key.member)) return config.**text;
  if (const auto* number = std::get_if<std::int64_t TrainConfig::*>(&key.member)) {
    if (const ConfigKey::Word* word = find_word(key, config.**number)) return word->name;
  }
  return value_text(config, key);
}

std::vector<std::string> describe_changes(const TrainConfig& config) {
  std::vector<std::string> lines;
  const TrainConfig defaults;
  for (const ConfigKey& key : config_keys()) {
    const bool differs = std::visit([&](auto member) { return config.*member != defaults.*member; }, key.member);
    if (differs) lines.push_back(fmt::format("{} = {}", key.name, value_text(config, key)));
  }
  return lines;
}

std::string config_help() {
  std::string text =
      "Trains a GPT on text.\n\n"
      "  train book.txt                                     the largest preset that machine and text are enough for\n"
      "  train --config 150M_1024 --input book.txt [flags]\n\n"
      "Settings come from the defaults, then the config file, then the flags. A flag is --key VALUE or --key=VALUE; '-' and "
      "'_'\n"
      "are alike; --input and --val_input take several values, up to the next flag; a flag given twice counts the last time.\n"
      "Flags of nanoGPT, Hugging Face and others that mean the same are taken too (docs/coming-from.md). Defaults stand in\n"
      "brackets.\n\n"
      "  --config, --config_file FILE\n"
      "                          JSON file of the keys below, or the name of a preset (show_configs lists them).\n"
      "  --help, -h              This text.\n"
      "  --version               The version.\n";
  std::string_view section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) text += fmt::format("\n{}\n", key.section);
    section = key.section;
    text += key_entry(key);
  }
  return text;
}

std::string config_markdown() {
  std::string text =
      "# Configuration\n\n"
      "<!-- Made from src/config/config_schema.cpp by the program config_docs. Do not edit: change the table and run\n"
      "     build/config_docs > docs/configuration.md -->\n\n"
      "Every key is a key of a JSON config file and a flag of `train`:\n\n"
      "```\ntrain book.txt\ntrain --config tiny --input book.txt --learning_rate 5e-4 --no_bias\n```\n\n"
      "- Defaults come first, then the config file (`--config FILE`, also `--config_file`), then the flags. A preset is named\n"
      "  as `tiny`, `configs/tiny` or `configs/tiny.json`, from any folder.\n"
      "- Words without a flag are the config (a preset, or a `.json` file) and the inputs. A new run whose command says nothing\n"
      "  of the model (no config, no size, no `init_from`) gets the largest preset that text and machine are enough for\n"
      "  ([training.md](training.md#without-a-config)), and says so.\n"
      "- A flag is `--key VALUE` or `--key=VALUE`. In flags `-` and `_` are alike. A flag given twice counts the last time.\n"
      "- `input` and `val_input` take several values: `--input a.txt b.txt texts/`, all words up to the next flag; in a file\n"
      "  `\"input\": [\"a.txt\", \"b.txt\"]`, or one string.\n"
      "- Switches are `--key` and `--no_key`, or `--key true` and `--key false` (also `True`, `yes`, `on`, `1`, and their\n"
      "  opposites). A whole number may be written `10k`, `1e4` or `1_000`.\n"
      "- Flags of nanoGPT, Hugging Face and others that mean the same are taken too: [coming-from.md](coming-from.md).\n"
      "- A config file is one JSON object without nested objects. Numbers and `true`/`false` have no quotes.\n"
      "- Unknown keys, wrong types and values out of range are errors; nothing is ignored.\n"
      "- The resolved configuration is saved with every checkpoint.\n"
      "- A run that is resumed keeps the learning-rate schedule it was planned with, also with a larger `max_iters`: where the\n"
      "  decay has ended it continues at its last rate. `--lr_decay_iters N` decays anew until step N; so does another\n"
      "  `--learning_rate` or `--lr_schedule` after the decay's end. Another `batch_size` keeps the tokens of a step where it\n"
      "  divides them. Differences are reported, with both values.\n"
      "- With `init_from`, and without a rate in flags or file, `learning_rate` is 5e-5 and `min_lr` a tenth of it.\n"
      "- A warm-up as long as the run is shortened to a tenth of it, with a note.\n";
  std::string_view section;
  for (const ConfigKey& key : config_keys()) {
    if (key.section != section) {
      text += fmt::format("\n## {}\n\n| Key | Default | Takes | Meaning |\n|---|---|---|---|\n", key.section);
    }
    section = key.section;
    text += markdown_row(key);
  }
  return text;
}

}  // namespace virgil
