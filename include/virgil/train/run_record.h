// What a run writes of itself beside its checkpoints: metrics.jsonl, run.json, and an event file for TensorBoard.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "virgil/base/file_system.h"
#include "virgil/config/train_config.h"
#include "virgil/train/loss_history.h"
#include "virgil/train/metrics.h"
#include "virgil/train/run_sessions.h"

namespace virgil {

class EventLog;

/// One line of metrics.jsonl a step, handed to the system at once. Nothing is written before open(), and by ranks that never
/// open it. Throws UserError when a file cannot be written.
class RunRecord {
 public:
  RunRecord();
  ~RunRecord();

  /// Begins to write into the run's folder, which exists. Of an earlier metrics.jsonl the steps before the session's first one
  /// are kept, and count as losses; what came later is dropped, since it comes again. The event file is written anew from what
  /// was kept, so that each of TensorBoard's readers sees every step once; config.tensorboard false leaves it out. Returns what
  /// is wrong with the earlier figures, a line each, for warnings.
  std::vector<std::string> open(FileSystem& files, const std::filesystem::path& run, const RunSession& session,
                                const TrainConfig& config);

  /// Of the run so far, earlier sessions included, with this step's loss added.
  const LossHistory& add_loss(double loss);
  /// A step whose loss was added. It carries the sample that was made before it.
  void step(const StepMetrics& metrics);
  void sample(std::int64_t step, std::string_view text);
  /// Writes an evaluation that no step follows.
  void final_evaluation(const EvalMetrics& evaluation);
  /// Writes a sample that no step follows.
  void final_sample();
  /// Makes metrics.jsonl durable. The event file can be made again from it.
  void sync();

 private:
  void write(const nlohmann::ordered_json& line);

  std::unique_ptr<WritableFile> file_;  // metrics.jsonl; null: not open yet
  std::unique_ptr<EventLog> events_;    // null: none is written
  LossHistory losses_;
  std::int64_t sample_step_ = 0;
  std::string sample_;  // waits for its step
};

}  // namespace virgil
