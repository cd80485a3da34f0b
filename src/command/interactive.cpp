#include "command/interactive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "virgil/base/error.h"
#include "virgil/base/file_system.h"
#include "virgil/config/program_name.h"
#include "virgil/model/head_choice.h"
#include "virgil/plan/plan_config.h"

namespace virgil {

namespace {

struct Question {
  const char* key;
  const char* text;
};

constexpr Question kQuestions[] = {
    {"n_layer", "How many layers"},
    {"n_embd", "How wide is the embedding"},
    {"n_head", "How many attention heads"},
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

/// What the answers so far make impossible, or empty: told while the question that can mend it is being asked.
std::string check_so_far(const TrainConfig& config, std::string_view key) {
  if (key == "n_embd") return width_problem(config.n_embd, config.n_head);
  if (key == "n_head") return head_problem(config.n_embd, config.n_head);
  return {};
}

/// A width that was chosen brings heads that fit it as the next question's default.
void propose_heads(TrainConfig& config) {
  const auto usual = usual_heads(config.n_embd);
  if (usual && !heads_fit(config.n_embd, config.n_head)) config.n_head = usual->num_heads;
}

void note_as_given(CommandLine& line, const char* key) {
  if (std::ranges::find(line.set_keys, key) == line.set_keys.end()) line.set_keys.emplace_back(key);
}

/// Asks until the answer is allowed. Returns false when the input has ended.
bool ask(const Question& question, CommandLine& line, std::istream& in, std::ostream& out) {
  while (true) {
    out << fmt::format("{} [{}]? ", question.text, shown(value_of(line.config, question.key))) << std::flush;
    const auto answer = read_answer(in);
    if (!answer) return false;
    try {
      TrainConfig config = line.config;
      if (!answer->empty()) set_config_value(config, question.key, *answer, "answer");
      if (const std::string problem = check_so_far(config, question.key); !problem.empty()) throw UserError(problem);
      const bool is_width = std::string_view(question.key) == "n_embd";
      if (is_width) propose_heads(config);
      if (!answer->empty()) note_as_given(line, question.key);
      if (is_width && config.n_head != line.config.n_head) note_as_given(line, "n_head");
      line.config = config;
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
  CommandLine command;
  command.config_file = *name;
  out << fmt::format("saved; train with: {} --input book.txt\n",
                     command_text(train_command(line.program_folder, 1), command, {}));
}

}  // namespace virgil
