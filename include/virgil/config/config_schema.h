// The one table of configuration keys: type, default, range, help, aliases. JSON files, command-line flags, --help, the
// resolved config and docs/configuration.md are all made from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "virgil/base/logging.h"
#include "virgil/base/nearest_name.h"
#include "virgil/config/train_config.h"

namespace virgil {

struct ConfigKey {
  using Member = std::variant<std::int64_t TrainConfig::*, std::uint64_t TrainConfig::*, double TrainConfig::*,
                              bool TrainConfig::*, std::string TrainConfig::*, std::vector<std::string> TrainConfig::*>;
  std::string name = {};
  std::vector<std::string> aliases = {};
  Member member = {};
  std::string section = {};               // heading in --help and the docs
  std::string help = {};                  // one sentence; units and what 0 or empty stands for
  double min = 0, max = 0;                // inclusive range of a number; min == max: unlimited
  std::vector<std::string> choices = {};  // allowed strings; empty: any
  bool saved = true;                      // false for keys of one invocation (resume, overwrite, dry_run)
  /// What is wrong with a string that is not among fixed choices ("is not a device; ..."), or empty; null: nothing to check.
  std::string (*check)(std::string_view value) = nullptr;
  /// Words that a whole number's key takes besides numbers, such as "auto", and what the field then is.
  struct Word {
    std::string name;
    std::int64_t value;
  };
  std::vector<Word> words = {};
};

/// All keys, in the order of help and docs.
[[nodiscard]] std::span<const ConfigKey> config_keys();

/// The key of that name or alias, or of that name in another program where it means the same (foreign_names.h); '-' and '_'
/// alike. Otherwise nullptr.
[[nodiscard]] const ConfigKey* find_config_key(std::string_view name);

/// Applies one "key": value; keys and values are checked. `where` names the source for messages ("configs/a.json", "--lr").
/// Throws UserError: unknown key (with the nearest known one), wrong type, out of range, not among the choices.
void set_config_value(TrainConfig& config, std::string_view key, std::string_view value, std::string_view where);

/// Whether the key takes several values.
[[nodiscard]] bool is_list(const ConfigKey& key);
/// Sets a key that takes several values; a single empty one stands for none. UserError as above.
void set_config_list(TrainConfig& config, const ConfigKey& key, std::span<const std::string> values, std::string_view where);

/// A larger configuration file, Virgil's or Hugging Face's, is refused.
inline constexpr std::int64_t kMaxConfigBytes = 1 << 20;

/// Applies a JSON file's keys over `config`. Comments are not allowed; duplicates (also by alias), nesting, values of the wrong
/// JSON type and keys that are not saved are errors. Returns the names of the keys it set. UserError as above.
std::vector<std::string> apply_config_file(TrainConfig& config, const std::filesystem::path& path);

/// The same for JSON text, such as TrainingState::config_json; `where` names it in messages.
std::vector<std::string> apply_config_json(TrainConfig& config, std::string_view json_text, const std::string& where);

/// The command line of a program that takes config keys as flags.
struct CommandLine {
  TrainConfig config;
  std::vector<std::string> set_keys;   // canonical names of the keys given as flags, each once
  std::string config_file;             // the --config file; empty: none was given
  std::vector<std::string> file_keys;  // canonical names of the keys that it holds
  std::vector<std::string> words;      // what stands beside flags, where that is left to the program
  std::vector<std::string> notes;      // what was taken without effect, to be told
  std::string program_folder;          // of the program that was started (program_name.h)
  bool help = false;
  bool version = false;
};

/// What the words of a command line mean that belong to no flag.
enum class WordsMean : std::uint8_t {
  kConfigOrInput,  // train: a preset or a .json file is the config, others are inputs that must be there
  kOther,          // what the program says: they are left in CommandLine::words
};

/// Parses "--key value", "--key=value", "--flag" and "--no_flag" for booleans; '-' and '_' alike; a key that takes several
/// values takes all words up to the next flag; --config FILE (alias --config_file) is applied first wherever it stands, and is
/// found as find_config_file does; a flag given twice counts the last time, so that scripts can append. Flags of other programs
/// are taken where they mean the same (foreign_names.h). epochs counts before max_iters, unless max_iters alone is a flag.
/// "--help" or "-h" anywhere sets help and "--version" version, and leave the rest unread. `program` is named in messages.
/// Throws UserError.
[[nodiscard]] CommandLine parse_train_command_line(std::span<const std::string> arguments, std::string_view program = "train",
                                                   WordsMean words_mean = WordsMean::kConfigOrInput);

/// Says what was taken without effect.
void tell_notes(std::span<const std::string> notes, Logger& log);

/// `line` with the keys over it that `flags` set.
[[nodiscard]] CommandLine with_keys_of(CommandLine line, const CommandLine& flags);
/// The same command with another config file.
[[nodiscard]] CommandLine with_config(const CommandLine& flags, const std::filesystem::path& file);

/// Checks rules between keys (n_embd and n_head, batch sizes, zero_stage, min_lr, warmup) and fills values that 0 stands for
/// and that follow from other keys alone (d_ff, lr_decay_iters, grad_accum_steps, total_batch_size). Throws UserError with the
/// remedy. grad_accum_steps is that of each of `processes`.
/// Where several processes share a total_batch_size, a batch_size that does not divide a share becomes the largest below it
/// that does.
void resolve_config(TrainConfig& config, std::int64_t processes = 1);

/// The part of it that needs the length of the run: fills lr_decay_iters, and shortens a warm-up that is as long as the run
/// (warmup_iters then changes). With epochs it is not asked before resolve_epochs.
void resolve_schedule(TrainConfig& config);
/// For a resolved config with epochs: fills max_iters, and resolves the schedule. Without epochs it changes nothing.
void resolve_epochs(TrainConfig& config, std::int64_t tokens_per_pass);

/// One of these rules, for who knows only later how many processes there are: stage 2's sums are not rounded again and again.
void check_sums(const TrainConfig& config, std::int64_t processes);

/// One of these rules, which is asked again when dtype auto has been replaced: weights without a float32 copy are bfloat16.
void check_master_weights(const TrainConfig& config);

/// All saved keys as a JSON object, in schema order; reading it back gives an equal config.
[[nodiscard]] std::string config_to_json(const TrainConfig& config);
/// "key = value" lines of what differs from the defaults.
[[nodiscard]] std::vector<std::string> describe_changes(const TrainConfig& config);
/// Text of `train --help`.
[[nodiscard]] std::string config_help();
/// docs/configuration.md.
[[nodiscard]] std::string config_markdown();

/// "12GB" (10^9), "12G", "12 gb", "1.5GiB" (2^30 each), "1500000000" -> bytes. Throws UserError on anything else, and for a
/// number without a unit below a mebibyte, which is no memory to train in.
[[nodiscard]] std::int64_t parse_memory_size(std::string_view text);
/// What is wrong with such a text ("is not an amount of memory; ..."), or empty.
[[nodiscard]] std::string memory_size_problem(std::string_view text);

/// The key whose name, alias or foreign name is nearest to `word`, or empty when none is near.
[[nodiscard]] std::string nearest_key(std::string_view word);

}  // namespace virgil
