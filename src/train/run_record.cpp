#include "virgil/train/run_record.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/event_log.h"
#include "train/metrics_lines.h"
#include "virgil/base/unix_time.h"
#include "virgil/train/run_folder.h"

namespace virgil {

RunRecord::RunRecord() = default;
RunRecord::~RunRecord() = default;

std::vector<std::string> RunRecord::open(FileSystem& files, const std::filesystem::path& run, const RunSession& session,
                                         const TrainConfig& config) {
  std::vector<std::string> problems;
  const auto note = [&](std::string problem) {
    if (!problem.empty()) problems.push_back(std::move(problem));
  };
  note(add_run_session(files, run, session));
  if (config.tensorboard) {
    events_ = std::make_unique<EventLog>(files, run, session.started, config);
  } else if (has_event_file(run)) {
    note(
        fmt::format("tensorboard is false: the event file in {} stays as the earlier session left it, so TensorBoard shows "
                    "nothing of this one; a start with --tensorboard true writes all steps anew",
                    run.string()));
  }
  note(truncate_metrics(files, metrics_path(run), session.first_step, [this](const MetricsLine& line) {
    if (const std::optional<double> loss = number_in(line, "loss")) losses_.add(*loss);
    if (events_) events_->add(line);
  }));
  if (events_) events_->publish();
  file_ = files.open_for_append(metrics_path(run));
  return problems;
}

const LossHistory& RunRecord::add_loss(double loss) {
  losses_.add(loss);
  return losses_;
}

void RunRecord::step(const StepMetrics& metrics) {
  if (file_ == nullptr) return;
  const double smoothed = losses_.empty() ? metrics.loss : losses_.smoothed();
  write(step_line(metrics, smoothed, std::exchange(sample_, {})));
}

void RunRecord::sample(std::int64_t step, std::string_view text) {
  sample_step_ = step;
  sample_ = text;
}

void RunRecord::final_evaluation(const EvalMetrics& evaluation) { write(evaluation_line(evaluation, unix_seconds())); }

void RunRecord::final_sample() {
  if (!sample_.empty()) write(sample_line(sample_step_, unix_seconds(), std::exchange(sample_, {})));
}

void RunRecord::sync() {
  if (file_ != nullptr) file_->sync();
}

void RunRecord::write(const MetricsLine& line) {
  if (file_ == nullptr) return;
  const std::string text = line_text(line);
  file_->append(std::as_bytes(std::span(text)));
  file_->flush();
  if (events_) events_->add(line);
}

}  // namespace virgil
