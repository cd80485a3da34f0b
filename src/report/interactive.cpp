#include "report/interactive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"

namespace virgil {

namespace {

struct Question {
  const char* key;
  const char* text;
};

constexpr Question kQuestions[] = {
    {"n_layer", "How many layers"},
    {"n_embd", "How wide is the embedding"},
    {"n_head", "How many attention heads (n_embd must be a multiple)"},
    {"block_size", "How many tokens of context"},
    {"tokenizer", "Which tokenizer (byte, char, gpt2, bpe:SIZE)"},
    {"bias", "Biases as GPT-2 has them (true, false)"},
    {"tie_weights", "LM head shared with the token embedding (true, false)"},
    {"batch_size", "How many sequences in a batch"},
    {"recompute", "Recompute in the backward pass (none, gelu, norm, block)"},
};

/// The next line without surrounding spaces; nothing when the input has ended.
std::optional<std::string> read_answer(std::istream& in) {
  std::string answer;
  if (!std::getline(in, answer)) return std::nullopt;
  constexpr const char* kSpaces = " \t\r";
  const std::size_t begin = answer.find_first_not_of(kSpaces);
  if (begin == answer.npos) return std::string();
  return answer.substr(begin, answer.find_last_not_of(kSpaces) - begin + 1);
}

nlohmann::json value_of(const TrainConfig& config, const char* key) {
  return nlohmann::json::parse(config_to_json(config)).at(key);
}

std::string shown(const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

/// Asks until the answer is allowed. Returns false when the input has ended.
bool ask(const Question& question, CommandLine& line, std::istream& in, std::ostream& out) {
  while (true) {
    out << fmt::format("{} [{}]? ", question.text, shown(value_of(line.config, question.key))) << std::flush;
    const auto answer = read_answer(in);
    if (!answer) return false;
    if (answer->empty()) return true;
    try {
      set_config_value(line.config, question.key, *answer, "answer");
      if (std::ranges::find(line.set_keys, question.key) == line.set_keys.end()) line.set_keys.push_back(question.key);
      return true;
    } catch (const UserError& error) {
      out << error.what() << "\n";
    }
  }
}

/// Rules between keys, such as n_embd and n_head; asks the questions again that can mend it.
bool is_consistent(const CommandLine& line, std::ostream& out) {
  try {
    TrainConfig resolved = line.config;
    resolve_config(resolved);
    return true;
  } catch (const UserError& error) {
    out << error.what() << "\n";
    return false;
  }
}

}  // namespace

CommandLine ask_for_config(CommandLine line, std::istream& in, std::ostream& out) {
  out << "An empty answer keeps the value in brackets.\n";
  do {
    bool first = true;
    for (const Question& question : kQuestions) {
      if (!ask(question, line, in, out)) {
        if (first) throw user_error("--interactive: the input has ended; run it in a terminal, or give the sizes as flags");
        out << "\n";
        break;
      }
      first = false;
    }
  } while (!is_consistent(line, out));
  out << "\n";
  return line;
}

void offer_to_save(const CommandLine& line, std::istream& in, std::ostream& out) {
  out << "\nSave this configuration to a file [no]? " << std::flush;
  const auto name = read_answer(in);
  if (!name || name->empty() || *name == "no" || *name == "n") {
    out << "not saved\n";
    return;
  }
  if (std::filesystem::exists(*name)) {
    out << fmt::format("{} exists; replace it (yes, no) [no]? ", *name) << std::flush;
    const auto answer = read_answer(in);
    if (!answer || (*answer != "yes" && *answer != "y")) {
      out << "not saved\n";
      return;
    }
  }
  const auto all = nlohmann::ordered_json::parse(config_to_json(line.config));
  const auto defaults = nlohmann::ordered_json::parse(config_to_json(TrainConfig{}));
  nlohmann::ordered_json changed = nlohmann::ordered_json::object();
  for (const auto& [key, value] : all.items()) {
    const bool asked = std::ranges::any_of(kQuestions, [&key = key](const Question& question) { return key == question.key; });
    if (asked || value != defaults.at(key)) changed[key] = value;
  }
  write_file_atomically(*make_posix_file_system(), *name, changed.dump(2) + "\n");
  out << fmt::format("saved; train with: train --config {} --input book.txt\n", *name);
}

}  // namespace virgil
