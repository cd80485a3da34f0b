#include "train/run_forecast.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <system_error>
#include <vector>

#include "virgil/base/error.h"
#include "virgil/base/format.h"
#include "virgil/base/shape.h"
#include "virgil/format/checkpoint.h"
#include "virgil/train/run_time.h"
#include "virgil/train/trainer.h"

namespace virgil {

namespace {

namespace fs = std::filesystem;

/// The value of val_fraction that leaves `wanted` predictions, or the text that does.
std::string more_held_out(const TrainConfig& config, const Dataset& data, std::int64_t wanted) {
  if (!config.val_input.empty()) return fmt::format("give a val_input of at least {} tokens", format_count(wanted + 1));
  const auto all = static_cast<double>(data.train.tokens.size() + data.val->tokens.size());
  const double fraction = std::ceil(100 * static_cast<double>(wanted + 1) / all) / 100;
  if (fraction > 0.5) return "give a longer text, or a val_input";
  return fmt::format("set val_fraction to at least {:.2f}", fraction);
}

void warn_of_few_predictions(const TrainConfig& config, const Evaluator& evaluator, const Dataset& data, Logger& log) {
  constexpr std::int64_t kFew = 300;  // their mean is off by 0.1 nats and more
  const std::int64_t wanted = std::max(kFew, 2 * config.block_size);
  if (evaluator.num_predictions() >= wanted) return;
  log.warn(
      fmt::format("the held-out text has {} tokens, {} predictions: too few to judge by, so the validation loss and which "
                  "checkpoint is best are largely chance; {}",
                  format_count(evaluator.num_predictions() + 1), format_count(evaluator.num_predictions()),
                  more_held_out(config, data, wanted)));
}

/// Of the files below a folder; what cannot be read counts nothing.
std::int64_t bytes_below(const fs::path& folder) {
  std::int64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code unknown;
    const std::uintmax_t size = at->is_regular_file(unknown) ? at->file_size(unknown) : 0;
    if (!unknown) total += static_cast<std::int64_t>(size);
  }
  return total;
}

/// Checkpoints named by their step that are still to come: one every save_interval steps, and the last.
std::int64_t count_saves(const TrainConfig& config, std::int64_t first_step) {
  if (first_step >= config.max_iters) return 0;
  if (config.save_interval <= 0) return 1;
  return (config.max_iters - 1) / config.save_interval - first_step / config.save_interval + 1;
}

/// A value of keep_last that the disk has room for, or what else helps.
std::string disk_remedy(const DiskForecast& forecast, bool has_best) {
  const std::int64_t room = forecast.free_bytes / forecast.checkpoint_bytes;
  const std::int64_t keep = room - 1 - (has_best ? 1 : 0);
  const std::string other =
      fmt::format("free {}, or choose an out_dir on a larger disk", format_bytes(forecast.most_bytes() - forecast.free_bytes));
  return keep >= 1 ? fmt::format("set keep_last to {}, {}", keep, other) : other;
}

}  // namespace

void describe_evaluations(const TrainConfig& config, const Evaluator& evaluator, const Dataset& data, Logger& log) {
  const std::int64_t windows = evaluator.num_windows();
  const std::int64_t total = evaluator.total_windows();
  const std::string every = fmt::format("every {} steps", format_count(config.eval_interval));
  if (windows == total) {
    log.info(fmt::format("eval     on all of the held-out text ({} windows), {}", format_count(total), every));
  } else {
    log.info(fmt::format("eval     on {} of {} windows of the held-out text, always the same, {}; --eval_iters all takes all",
                         format_count(windows), format_count(total), every));
  }
  warn_of_few_predictions(config, evaluator, data, log);
}

std::int64_t DiskForecast::most_bytes() const { return checked_multiply(most_at_once, checkpoint_bytes); }

DiskForecast forecast_disk(const TrainConfig& config, std::int64_t first_step, bool evaluates, std::int64_t checkpoint_bytes,
                           const fs::path& run, const FileSystem& files) {
  const bool goes_on = first_step > 0;
  const std::int64_t there = goes_on ? std::ssize(list_step_checkpoints(run)) : 0;
  const bool has_best = evaluates && config.eval_interval > 0;
  const bool best_is_there = goes_on && fs::exists(run / "best");
  const std::int64_t saves = count_saves(config, first_step);
  const std::int64_t kept = config.keep_last == 0 ? there + saves : std::min(config.keep_last, there + saves);
  const std::int64_t new_ones = std::max<std::int64_t>(0, kept - there) + (has_best && !best_is_there ? 1 : 0);
  // Whatever is replaced or pruned goes after the new one is whole. A run of one save and no evaluation replaces nothing.
  const bool replaces = has_best || there + saves > kept;
  DiskForecast forecast{.checkpoint_bytes = checkpoint_bytes,
                        .most_at_once = std::max<std::int64_t>(1, new_ones + (replaces ? 1 : 0))};
  const std::optional<std::int64_t> free_bytes = files.available_bytes(run);
  forecast.free_bytes = !free_bytes ? -1 : *free_bytes + (config.overwrite && !goes_on ? bytes_below(run) : 0);
  return forecast;
}

void describe_disk(const TrainConfig& config, const DiskForecast& forecast, const fs::path& run, Logger& log) {
  const std::string most =
      fmt::format("{} at once, {} each", format_count(forecast.most_at_once), format_bytes(forecast.checkpoint_bytes));
  if (forecast.free_bytes < 0) {
    log.info(fmt::format("disk     up to {} of new checkpoints ({})", format_bytes(forecast.most_bytes()), most));
    return;
  }
  log.info(fmt::format("disk     up to {} of new checkpoints ({}); {} is free", format_bytes(forecast.most_bytes()), most,
                       format_bytes(forecast.free_bytes)));
  if (forecast.free_bytes < forecast.checkpoint_bytes) {
    throw user_error("{}: a checkpoint takes {} and the disk has {} free, so nothing of the run could be kept; {}",
                     run.string(), format_bytes(forecast.checkpoint_bytes), format_bytes(forecast.free_bytes),
                     "free some, choose an out_dir on another disk, or train a smaller model");
  }
  if (forecast.free_bytes >= forecast.most_bytes()) return;
  log.warn(fmt::format("{}: the disk will be full before the run's end: its checkpoints take up to {}, and {} is free; {}",
                       run.string(), format_bytes(forecast.most_bytes()), format_bytes(forecast.free_bytes),
                       disk_remedy(forecast, config.eval_interval > 0)));
}

TimeSource choose_time_source(double expected_micro_step_s, bool dry_run) {
  constexpr double kMomentSeconds = 2;
  constexpr double kDryRunSeconds = 60;
  if (expected_micro_step_s <= (dry_run ? kDryRunSeconds : kMomentSeconds)) return TimeSource::kMicroStep;
  return dry_run ? TimeSource::kMatmul : TimeSource::kFirstSteps;
}

std::string forecast_time(const TrainConfig& config, std::int64_t first_step, double expected_step_s, TimeSource source,
                          Trainer& trainer) {
  switch (source) {
    case TimeSource::kMicroStep:
      return fmt::format("time     {} (by a timed micro-step)",
                         describe_run_time(predict_run_time(config, first_step, trainer.time_pace())));
    case TimeSource::kFirstSteps:
      return fmt::format("time     measuring: a step takes about {} by a timed matrix product; the first steps will tell",
                         duration_in_words(expected_step_s));
    case TimeSource::kMatmul:
      break;
  }
  return fmt::format("time     {} of steps, roughly (by a timed matrix product); evaluations and samples come on top",
                     describe_run_time(predict_run_time(config, first_step, {.step_s = expected_step_s})));
}

}  // namespace virgil
