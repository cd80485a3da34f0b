// Which runs a sweep is made of.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/excerpt.h"
#include "virgil/command/sweep_command.h"
#include "virgil/config/config_schema.h"
#include "virgil/config/default_preset.h"
#include "virgil/config/train_config.h"
#include "virgil/dist/process_group.h"
#include "virgil/train/preset_choice.h"

namespace virgil {

namespace {

constexpr std::size_t kMostRuns = 1000;
constexpr std::int64_t kMostJobs = 256;

/// Keys whose values may be listed: numbers, switches and words, but no free text, in which a comma is a comma.
bool can_be_swept(const ConfigKey& key) {
  if (is_list(key) || !key.saved) return false;
  return !std::holds_alternative<std::string TrainConfig::*>(key.member) || !key.choices.empty() || key.check != nullptr;
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t comma = text.find(','); comma != text.npos; comma = text.find(',', begin)) {
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::int64_t parse_jobs(const std::string& text) {
  const bool is_number = !text.empty() && text.size() <= 3 && text.find_first_not_of("0123456789") == text.npos;
  const std::int64_t jobs = is_number ? std::stoll(text) : 0;
  if (jobs >= 1 && jobs <= kMostJobs) return jobs;
  throw user_error("--jobs is {}, but takes a whole number from 1 to {}", quoted_excerpt(text), kMostJobs);
}

std::string checked_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos) {
    throw user_error("--sweep_name is {}, but must be the name of a folder in out_dir, without a slash", quoted_excerpt(name));
  }
  return name;
}

/// Reads the words of a command line one by one.
class SweepParser {
 public:
  explicit SweepParser(std::span<const std::string> arguments) : arguments_(arguments) {}

  SweepRequest parse() {
    while (at_ < arguments_.size()) {
      const std::string& word = arguments_[at_++];
      word.starts_with("--") && word.size() > 2 ? read_flag(word) : read_word(word);
    }
    return std::move(request_);
  }

 private:
  void read_word(const std::string& word) {
    if (word == "-h") request_.help = true;
    request_.arguments.push_back(word);
  }

  void read_flag(const std::string& word) {
    const std::size_t equals = word.find('=');
    std::string name = word.substr(2, equals == word.npos ? equals : equals - 2);
    std::ranges::replace(name, '-', '_');
    std::optional<std::string> value;
    if (equals != word.npos) value = word.substr(equals + 1);
    if (name == "help") request_.help = true;
    if (name == "version") request_.version = true;
    if (name == "zip" || name == "dry_run") return read_switch(name, value);
    if (name == "jobs" || name == "sweep_name") return read_own(name, value);
    const ConfigKey* key = find_config_key(name);
    if (key != nullptr && can_be_swept(*key) && read_values(*key, value)) return;
    request_.arguments.push_back(word);
  }

  void read_switch(const std::string& name, std::optional<std::string> value) {
    if (!value && at_ < arguments_.size() && (arguments_[at_] == "true" || arguments_[at_] == "false"))
      value = arguments_[at_++];
    if (value && *value != "true" && *value != "false") {
      throw user_error("--{} is {}, but takes true or false", name, quoted_excerpt(*value));
    }
    (name == "zip" ? request_.zip : request_.dry_run) = !value || *value == "true";
  }

  void read_own(const std::string& name, const std::optional<std::string>& given) {
    if (!given && (at_ == arguments_.size() || arguments_[at_].starts_with("--"))) {
      throw user_error("--{}: its value is missing; write --{} VALUE", name, name);
    }
    const std::string& value = given ? *given : arguments_[at_++];
    name == "jobs" ? void(request_.jobs = parse_jobs(value)) : void(request_.name = checked_name(value));
  }

  /// False where there is one value, which is train's.
  bool read_values(const ConfigKey& key, const std::optional<std::string>& given) {
    if (!given && at_ == arguments_.size()) return false;
    const std::string& text = given ? *given : arguments_[at_];
    if (text.find(',') == text.npos) return false;
    if (!given) ++at_;
    SweptKey swept{key.name, split_at_commas(text)};
    for (const std::string& value : swept.values) {
      if (value.empty()) throw user_error("--{} is {}: a value between its commas is empty", key.name, quoted_excerpt(text));
    }
    std::erase_if(request_.keys, [&](const SweptKey& earlier) { return earlier.key == key.name; });
    request_.keys.push_back(std::move(swept));
    return true;
  }

  std::span<const std::string> arguments_;
  std::size_t at_ = 0;
  SweepRequest request_;
};

/// The values of the keys in each run: the last key's change first, or with `zip` all at once.
std::vector<std::vector<std::string>> combinations(const SweepRequest& request) {
  std::vector<std::vector<std::string>> rows = {{}};
  if (request.zip) {
    rows.resize(request.keys.front().values.size());
    for (const SweptKey& key : request.keys) {
      if (key.values.size() != rows.size()) {
        throw user_error("--zip takes as many values of each key: {} has {}, and {} has {}", request.keys.front().key,
                         rows.size(), key.key, key.values.size());
      }
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(key.values[i]);
    }
    return rows;
  }
  for (const SweptKey& key : request.keys) {
    std::vector<std::vector<std::string>> longer;
    for (const std::vector<std::string>& row : rows) {
      for (const std::string& value : key.values) {
        longer.push_back(row);
        longer.back().push_back(value);
      }
    }
    if (longer.size() > kMostRuns) throw user_error("a sweep of more than {} runs; give fewer values", kMostRuns);
    rows = std::move(longer);
  }
  return rows;
}

/// A value as a part of a folder's name.
std::string name_part(std::string_view value) {
  std::string part(value.substr(0, 40));
  std::ranges::replace_if(
      part,
      [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) == 0 && std::string_view("._+-:").find(c) == std::string_view::npos;
      },
      '_');
  return part;
}

}  // namespace

SweepRequest parse_sweep(std::span<const std::string> arguments) { return SweepParser(arguments).parse(); }

std::vector<SweepRun> runs_of_sweep(const SweepRequest& request) {
  const CommandLine common = parse_train_command_line(request.arguments, "sweep");
  if (request.keys.empty()) {
    throw user_error(
        "no key has several values; list them with commas, as in: sweep --config tiny --input book.txt --learning_rate 1e-3,3e-3");
  }
  for (const char* key : {"resume", "overwrite", "model_name"}) {
    if (std::ranges::find(common.set_keys, key) == common.set_keys.end()) continue;
    throw user_error(
        "--{}: a sweep names its runs itself, and resumes what is not finished when it is started again; leave it out", key);
  }
  const std::filesystem::path folder = std::filesystem::path(common.config.out_dir) / request.name;
  std::vector<SweepRun> runs;
  std::set<std::string> names;
  for (const std::vector<std::string>& values : combinations(request)) {
    SweepRun run;
    run.arguments = request.arguments;
    for (std::size_t i = 0; i < values.size(); ++i) {
      run.arguments.push_back(fmt::format("--{}={}", request.keys[i].key, values[i]));
      run.name += fmt::format("{}{}={}", run.name.empty() ? "" : ",", request.keys[i].key, name_part(values[i]));
    }
    if (run.name.size() > 240)
      throw user_error("{}: too long for the name of a folder; sweep fewer keys at once", excerpt(run.name));
    if (!names.insert(run.name).second)
      throw user_error("{}: two runs of the sweep are the same; list each value once", run.name);
    run.folder = folder / run.name;
    run.arguments.push_back("--out_dir=" + folder.string());
    run.arguments.push_back("--model_name=" + run.name);
    CommandLine line = parse_train_command_line(run.arguments, "sweep");
    resolve_config(line.config);
    runs.push_back(std::move(run));
  }
  return runs;
}

void settle_presets(std::vector<SweepRun>& runs, Logger& log) {
  const std::unique_ptr<ProcessGroup> alone = make_single_process_group();
  std::string preset;
  for (SweepRun& run : runs) {
    const CommandLine line = parse_train_command_line(run.arguments, "sweep");
    if (!leaves_model_open(line)) continue;
    if (preset.empty()) preset = with_chosen_preset(line, *alone, log).config_file;
    if (preset.empty()) return;
    run.arguments.push_back("--config=" + preset);
    const bool names_tokenizer = std::ranges::find(line.set_keys, "tokenizer") != line.set_keys.end();
    if (gives_token_files(line.config) && !names_tokenizer) run.arguments.push_back("--tokenizer=" + line.config.tokenizer);
  }
}

}  // namespace virgil
