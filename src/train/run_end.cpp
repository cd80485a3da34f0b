#include "train/run_end.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/format.h"
#include "virgil/base/shell_quote.h"
#include "virgil/config/program_name.h"
#include "virgil/train/early_end.h"
#include "virgil/train/run_folder.h"

namespace virgil {

namespace {

/// "finished at step 1,500: 4,608,000 tokens (9.5 epochs) in 31m12s; 2,640 tok/s in steps, 63 % of a matrix product's rate".
std::string describe_work(const RunEnd& end, const TrainConfig& config) {
  const RunTally& tally = end.tally;
  std::string text = end.status == RunStatus::kFinished
                         ? fmt::format("finished at step {}", end.state.step)
                         : fmt::format("stopped at step {} of {}", end.state.step, config.max_iters);
  const bool is_early = end.status == RunStatus::kFinished && end.state.step < config.max_iters;
  if (is_early) {
    text += fmt::format(" of {}, as {}", config.max_iters, describe_early_end(early_end_of(config, end.state), config));
  }
  if (tally.steps == 0) return text;
  text += fmt::format(": {} tokens ({:.1f} epochs) in {}; {} tok/s on average", format_count(tally.tokens),
                      static_cast<double>(tally.tokens) / tally.tokens_per_epoch, format_duration(tally.total_s),
                      format_count(std::llround(tally.tokens_per_s())));
  // A product that is over in microseconds, or timed on a busy machine, shows no peak.
  const double share = end.peak_gflops > 0 ? 1e-9 * tally.tokens_per_s() * tally.flops_per_token / end.peak_gflops : 0;
  if (share > 0 && share <= 1) text += fmt::format(", {:.0f} % of peak", 100 * share);
  return text;
}

/// "loss     train 1.4471 (1.4502 smoothed), validation 1.4729; best 1.4729 at step 1500".
std::string describe_losses(const RunEnd& end) {
  std::string text = "loss     ";
  if (end.tally.steps > 0)
    text += fmt::format("train {:.4f} ({:.4f} smoothed)", plain_nan(end.tally.loss), end.tally.smoothed_loss);
  if (end.state.last_eval_step >= 0) {
    text += fmt::format("{}validation {:.4f}", end.tally.steps > 0 ? ", " : "", plain_nan(end.state.last_val_loss));
    if (end.state.last_eval_step != end.state.step) text += fmt::format(" at step {}", end.state.last_eval_step);
  }
  if (end.state.best_step > 0) {
    text += fmt::format("; best validation loss {:.4f} at step {}", end.state.best_val_loss, end.state.best_step);
  }
  return text;
}

/// What is in the run's folder.
std::string describe_files(const std::filesystem::path& run, const std::string& newest, const TrainConfig& config) {
  return fmt::format("files    {}: {}{}metrics.jsonl, run.json{}", run.string(), newest.empty() ? "" : newest + ", ",
                     std::filesystem::exists(run / kBestCheckpoint) ? "best, " : "",
                     config.tensorboard ? ", events for TensorBoard" : "");
}

/// Of the training text's first line that has any, at most a few. Empty where there are none.
std::string first_words(const Dataset& data) {
  constexpr std::size_t kTokensRead = 64;
  constexpr std::size_t kMostBytes = 24;
  std::vector<std::int32_t> tokens(std::min(kTokensRead, data.train.tokens.size()));
  data.train.tokens.copy(0, tokens);
  std::string text = data.tokenizer->decode(tokens);
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return "";
  text = text.substr(begin, text.find_first_of("\r\n", begin) - begin);
  const auto is_plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7F; };
  text.erase(std::ranges::find_if_not(text, is_plain), text.end());
  if (text.size() > kMostBytes) text.resize(std::min(kMostBytes, text.rfind(' ', kMostBytes)));
  return text;
}

void offer(std::string_view what, const std::string& command, Logger& log) {
  log.info(fmt::format("  {:<12} {}", what, command));
}

void offer_commands(const RunEnd& end, const TrainConfig& config, const StartedAs& started, bool has_checkpoint, Logger& log) {
  const std::string run = shell_quote(run_folder(config).string());
  const auto command = [&](std::string_view program) { return program_command(started.program_folder, program); };
  const std::string resume = resume_command(config, started);
  log.info("");
  if (end.status == RunStatus::kInterrupted && has_checkpoint) offer("resume it", resume, log);
  if (has_checkpoint) {
    offer("read from it", fmt::format("{} --checkpoint {} --prompt {}", command("generate"), run, shell_quote(end.prompt)),
          log);
  }
  offer("plot it", fmt::format("{} {}", command("report"), run), log);
  if (end.status == RunStatus::kFinished) {
    const bool is_early = end.state.step < config.max_iters;
    offer("train on",
          is_early ? fmt::format("{} {}", resume, flag_to_go_on(early_end_of(config, end.state)))
                   : fmt::format("{} --max_iters {}", resume, 2 * end.state.step),
          log);
  }
  if (has_checkpoint) offer("its memory", fmt::format("{} --run {}", command("calc_params"), run), log);
}

void warn_of_divergence(const RunEnd& end, const TrainConfig& config, const std::string& newest, const std::string& resume,
                        Logger& log) {
  const std::string remedy =
      newest.empty()
          ? "There is no checkpoint yet: start again with --overwrite and a lower learning_rate"
          : fmt::format("The last good checkpoint is {}. To resume from it: {} --learning_rate {:.3g} --min_lr {:.3g}", newest,
                        resume, config.learning_rate / 2, config.min_lr / 2);
  log.warn(
      fmt::format("stopped at step {}: {} steps in a row were not finite. {}", end.state.step, config.max_bad_steps, remedy));
}

}  // namespace

std::string resume_command(const TrainConfig& config, const StartedAs& started) {
  return fmt::format("{} --resume --out_dir {} --model_name {}", train_command(started.program_folder, started.processes),
                     shell_quote(config.out_dir), shell_quote(config.model_name));
}

std::string init_from_command(const std::string& train, const std::filesystem::path& checkpoint, const TrainConfig& config) {
  std::string inputs;
  for (const std::string& input : config.input) inputs += ' ' + shell_quote(input);
  return fmt::format("{} --init_from {} --input{} --out_dir {} --model_name {}", train, shell_quote(checkpoint.string()),
                     inputs, shell_quote(config.out_dir), shell_quote(config.model_name + "-new"));
}

std::string prompt_for(const TrainConfig& config, const Dataset& data) {
  const std::string words = config.sample_prompt == TrainConfig{}.sample_prompt ? first_words(data) : "";
  return words.empty() ? config.sample_prompt : words;
}

bool is_finished(const TrainConfig& config, const TrainingState& state) {
  const bool lacks_evaluation = config.eval_interval > 0 && state.last_eval_step >= 0 && state.last_eval_step < state.step;
  return state.step > config.max_iters || ends_early(config, state) || (state.step == config.max_iters && !lacks_evaluation);
}

void report_end(const RunEnd& end, const TrainConfig& config, const StartedAs& started, Logger& log) {
  const std::filesystem::path run = run_folder(config);
  const auto checkpoints = list_step_checkpoints(run);
  const std::string newest = checkpoints.empty() ? "" : checkpoints.back().filename().string();
  log.info(describe_work(end, config));
  log.info(describe_losses(end));
  for (const std::string& line : summarize_memory(end.memory)) log.info(line);
  log.info(describe_files(run, newest, config));
  if (end.status == RunStatus::kDiverged) {
    warn_of_divergence(end, config, newest.empty() ? "" : checkpoints.back().string(), resume_command(config, started), log);
  }
  offer_commands(end, config, started, !newest.empty(), log);
}

}  // namespace virgil
