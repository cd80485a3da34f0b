#include "virgil/train/run_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "virgil/base/format.h"

namespace virgil {

namespace {

/// Of the steps from `first` to the end of the run, the end included, those at which something is done that is due every
/// `interval` steps and at the end.
std::int64_t count_due(std::int64_t first, std::int64_t end, std::int64_t interval) {
  if (interval <= 0) return 0;
  if (first >= end) return 1;
  const std::int64_t before_end = (end - 1) / interval - (first == 0 ? -1 : (first - 1) / interval);
  return before_end + 1;
}

std::string share(std::string_view name, double part_s, double total_s) {
  const double percent = total_s > 0 ? 100 * part_s / total_s : 0;
  return percent < 1 ? "" : fmt::format("{} {:.0f} %", name, percent);
}

}  // namespace

RunTime predict_run_time(const TrainConfig& config, std::int64_t first_step, const RunPace& pace) {
  const std::int64_t end = config.max_iters;
  const std::int64_t num_steps = std::max<std::int64_t>(0, end - first_step);
  // There is no sample of step 0.
  const std::int64_t first_sample = std::max<std::int64_t>(1, first_step);
  return {.steps_s = static_cast<double>(num_steps) * pace.step_s,
          .evaluations_s = static_cast<double>(count_due(first_step, end, config.eval_interval)) * pace.evaluation_s,
          .samples_s = static_cast<double>(count_due(first_sample, end, config.sample_interval)) * pace.sample_s};
}

std::string describe_run_time(const RunTime& time) {
  const double total = time.total_s();
  std::string parts;
  for (const std::string& part : {share("evaluations", time.evaluations_s, total), share("samples", time.samples_s, total)}) {
    if (!part.empty()) parts += (parts.empty() ? ", of which " : ", ") + part;
  }
  const std::string duration = total < 1 ? "less than a second" : "about " + duration_in_words(total);
  return duration + parts;
}

}  // namespace virgil
