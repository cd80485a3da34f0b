#include "train/init_from.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/data/tokenizer_builder.h"
#include "virgil/train/run_folder.h"

namespace virgil {
namespace {

namespace fs = std::filesystem;

/// Rows that programs add to an embedding to make its height a round number.
constexpr std::int64_t kMostPaddingRows = 127;

/// Gives a config the sizes of a model.
class SizeAdoption {
 public:
  SizeAdoption(const CommandLine& command_line, TrainConfig& config, const fs::path& directory)
      : command_line_(command_line), config_(config), directory_(directory) {}

  template <typename Value>
  void adopt(const char* key, Value TrainConfig::*member, Value value) {
    const Value asked = config_.*member;
    config_.*member = value;
    // 0 stands for "what follows from the rest", of which the model is a part.
    if (asked == value || (std::is_same_v<Value, std::int64_t> && asked == Value{})) return;
    if (is_set(key)) {
      throw user_error("--{} is {}, but the model of {} has {} {}, and init_from takes its sizes; leave --{} out", key, asked,
                       directory_.string(), key, value, key);
    }
    if (asked != TrainConfig{}.*member) given_up_ += fmt::format("{}{} {}", given_up_.empty() ? "" : ", ", key, asked);
  }
  [[nodiscard]] bool is_set(const char* key) const {
    return std::ranges::find(command_line_.set_keys, key) != command_line_.set_keys.end();
  }
  /// Keys of the config file that gave way.
  [[nodiscard]] const std::string& given_up() const { return given_up_; }

 private:
  const CommandLine& command_line_;
  TrainConfig& config_;
  const fs::path& directory_;
  std::string given_up_;
};

void adopt_sizes(const CommandLine& command_line, TrainConfig& config, PretrainedModel& model, Logger& log) {
  SizeAdoption sizes(command_line, config, model.directory);
  if (sizes.is_set("block_size") && config.block_size < model.model.block_size) shorten_context(model, config.block_size);
  const Architecture complete = trainable(model.model);
  const bool is_gpt2 = complete.family->has_all_biases;
  sizes.adopt("family", &TrainConfig::family, std::string(is_gpt2 ? kGpt2Family.model_type : complete.family->model_type));
  sizes.adopt("n_layer", &TrainConfig::n_layer, model.model.num_layers);
  sizes.adopt("n_head", &TrainConfig::n_head, model.model.num_heads);
  sizes.adopt("n_embd", &TrainConfig::n_embd, model.model.embedding_dim);
  sizes.adopt("block_size", &TrainConfig::block_size, model.model.block_size);
  sizes.adopt("vocab_size", &TrainConfig::vocab_size, model.model.vocab_size);
  sizes.adopt("d_ff", &TrainConfig::d_ff, complete.d_ff);
  sizes.adopt("mlp", &TrainConfig::mlp, std::string(name_of(model.model.mlp)));
  sizes.adopt("conv_taps", &TrainConfig::conv_taps, model.model.conv_taps);
  if (is_gpt2) sizes.adopt("bias", &TrainConfig::bias, model.model.biases.all());
  sizes.adopt("tie_weights", &TrainConfig::tie_weights, model.model.tie_weights);
  if (!is_gpt2) {
    sizes.adopt("n_kv_head", &TrainConfig::n_kv_head, complete.num_kv_heads);
    sizes.adopt("head_size", &TrainConfig::head_size, complete.head_size);
    sizes.adopt("rope_theta", &TrainConfig::rope_theta, complete.rotary.theta);
    sizes.adopt("rope_scaling", &TrainConfig::rope_scaling, to_string(complete.rotary.scaling));
    sizes.adopt("window", &TrainConfig::window, complete.window);
    sizes.adopt("norm_epsilon", &TrainConfig::norm_epsilon, complete.norm_epsilon);
  }
  if (sizes.given_up().empty()) return;
  log.info(fmt::format("config   {} of {} ignored: the sizes are those of {}", sizes.given_up(), command_line.config_file,
                       model.directory.string()));
}

bool learns_from_text(const std::string& spec) { return make_tokenizer_builder(spec)->needs_text(); }

/// For a tokenizer that the user names: it must fit the model's vocabulary.
void check_given_tokenizer(const TrainConfig& config, const PretrainedModel& model, Logger& log) {
  if (learns_from_text(config.tokenizer)) {
    throw user_error(
        "tokenizer is {}: learned from another text, its ids would mean nothing to the model of {}; give the "
        "tokenizer that the model was trained with",
        config.tokenizer, model.directory.string());
  }
  const auto tokenizer = make_tokenizer(config.tokenizer, "");
  const std::int64_t unknown_rows = model.model.vocab_size - tokenizer->vocab_size();
  if (unknown_rows < 0) {
    throw user_error(
        "tokenizer {} has {} tokens, but the model of {} has a vocabulary of {}; give the tokenizer that the model was "
        "trained with",
        config.tokenizer, tokenizer->vocab_size(), model.directory.string(), model.model.vocab_size);
  }
  if (unknown_rows <= kMostPaddingRows) return;
  log.warn(fmt::format("tokenizer {} has {} tokens, the model of {} a vocabulary of {}: is it the one it was trained with?",
                       config.tokenizer, tokenizer->vocab_size(), model.directory.string(), model.model.vocab_size));
}

void adopt_tokenizer(const CommandLine& command_line, TrainConfig& config, const PretrainedModel& model, Logger& log) {
  const bool is_flag = std::ranges::find(command_line.set_keys, "tokenizer") != command_line.set_keys.end();
  const auto own_spec = tokenizer_spec(model);
  // What the user names counts, and the folder's own is not even read: it may be one that cannot be.
  if (is_flag && !learns_from_text(config.tokenizer)) {
    check_given_tokenizer(config, model, log);
    if (own_spec)
      log.info(fmt::format("tokenizer {}, as given, not the one of {}", config.tokenizer, model.directory.string()));
    return;
  }
  if (!own_spec) {
    const bool is_given = is_flag || config.tokenizer != TrainConfig{}.tokenizer;
    if (!is_given) throw user_error("{}. Or name the right one with --tokenizer", describe_missing_tokenizer(model));
    check_given_tokenizer(config, model, log);
    return;
  }
  const std::unique_ptr<Tokenizer> own = load_tokenizer(model);  // also checks its vocabulary
  if (is_flag && config.tokenizer != own->name()) {
    throw user_error("tokenizer is {}, but the model of {} was trained with {} of {} tokens; leave --tokenizer out",
                     config.tokenizer, model.directory.string(), own->name(), own->vocab_size());
  }
  config.tokenizer = *own_spec;
}

/// Rates for weights that know something already: those for random weights would undo it.
void adopt_rates(const CommandLine& command_line, TrainConfig& config, Logger& log) {
  constexpr double kFineTuningRate = 5e-5;
  constexpr double kHighRate = 2e-4;
  const auto holds = [](const std::vector<std::string>& keys, const char* key) {
    return std::ranges::find(keys, key) != keys.end();
  };
  const auto is_given = [&](const char* key) {
    return holds(command_line.set_keys, key) || holds(command_line.file_keys, key);
  };
  const bool has_rate = is_given("learning_rate");
  if (!has_rate) config.learning_rate = is_given("min_lr") ? std::max(kFineTuningRate, config.min_lr) : kFineTuningRate;
  if (!is_given("min_lr")) config.min_lr = config.learning_rate / 10;
  if (!has_rate) {
    log.info(
        fmt::format("config   learning_rate is {:.3g} and min_lr {:.3g}, for weights that are trained already; others with "
                    "--learning_rate and --min_lr",
                    config.learning_rate, config.min_lr));
  } else if (!holds(command_line.set_keys, "learning_rate") && config.learning_rate >= kHighRate) {
    log.warn(
        fmt::format("learning_rate is {:.3g} ({}), a rate for random weights, and may undo what the model has learned; to "
                    "fine-tune: --learning_rate {:.3g} --min_lr {:.3g}",
                    config.learning_rate, command_line.config_file, kFineTuningRate, kFineTuningRate / 10));
  }
}

/// nanoGPT's words for where to begin.
void refuse_words(const TrainConfig& config) {
  if (fs::exists(config.init_from)) return;
  if (config.init_from == "resume")
    throw user_error("init_from is resume: to continue a run, leave --init_from out and give --resume");
  if (config.init_from == "scratch" || config.init_from == "random" || config.init_from == "none") {
    throw user_error("init_from is {}: random weights are the default; leave --init_from out", config.init_from);
  }
}

/// Whether `path` is `folder` or lies in it.
bool lies_in(const fs::path& path, const fs::path& folder) {
  std::error_code error;
  const fs::path inner = fs::weakly_canonical(path, error);
  const fs::path outer = fs::weakly_canonical(folder, error);
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

}  // namespace

PretrainedModel open_init_from(const CommandLine& command_line, TrainConfig& config, Logger& log) {
  refuse_words(config);
  const fs::path directory = find_checkpoint(config.init_from, log);
  if (config.overwrite && lies_in(directory, run_folder(config))) {
    throw user_error("{}: init_from lies in the run that --overwrite removes; choose another --model_name", directory.string());
  }
  PretrainedModel model = open_pretrained(directory);
  if (!model.note.empty()) log.info(fmt::format("config   {}: read with {}", directory.string(), model.note));
  adopt_sizes(command_line, config, model, log);
  adopt_tokenizer(command_line, config, model, log);
  adopt_rates(command_line, config, log);
  log.info(fmt::format("start    {}",
                       model.is_checkpoint
                           ? fmt::format("{}, a checkpoint of step {}", model.directory.string(), model.step)
                           : fmt::format("{}, a Hugging Face {}", model.directory.string(), model.model.family->model_type)));
  return model;
}

}  // namespace virgil
