// The figures of a run as TensorBoard shows them.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "train/metrics_lines.h"
#include "virgil/base/file_system.h"
#include "virgil/config/train_config.h"
#include "virgil/format/event_file.h"

namespace virgil {

/// One event file in the run's folder. TensorBoard's readers disagree on what a second file, or a step that comes again, stands
/// for; so each session writes the whole run anew, and takes the place of the file before.
class EventLog {
 public:
  /// Begins under a temporary name. `started`, in Unix seconds, is the time of lines that have none.
  EventLog(FileSystem& files, const std::filesystem::path& run, double started, const TrainConfig& config);

  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  /// A line of metrics.jsonl. Figures that are missing or no numbers are passed over.
  void add(const MetricsLine& line);
  /// The steps of earlier sessions are all there: this file takes the place of theirs, and later lines are seen at once.
  void publish();

 private:
  FileSystem& files_;
  std::filesystem::path run_;
  std::filesystem::path temporary_;
  std::filesystem::path path_;
  std::optional<EventFile> file_;
  double started_;
  bool published_ = false;
};

/// Whether an earlier session left an event file.
[[nodiscard]] bool has_event_file(const std::filesystem::path& run);

/// Keys that shape the run, as numbers, flags and words.
[[nodiscard]] std::vector<Hyperparameter> hyperparameters_of(const TrainConfig& config);

}  // namespace virgil
