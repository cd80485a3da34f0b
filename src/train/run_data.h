// What a run learns from, and the model that fits it.
#pragma once

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/config/train_config.h"
#include "virgil/data/dataset.h"
#include "virgil/format/checkpoint.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// Reads and tokenises the inputs, with the checkpoint's tokenizer when a run is resumed. Throws UserError, Stopped.
[[nodiscard]] Dataset load_run_data(const TrainConfig& config, const LoadedCheckpoint* checkpoint, FileSystem& files,
                                    Logger& log, ProgressMonitor* progress = nullptr);

/// Throws UserError when vocab_size is smaller than the tokenizer's.
[[nodiscard]] Architecture make_model_config(const TrainConfig& config, const Tokenizer& tokenizer);

/// Throws UserError naming the key when a checkpoint is of another shape than `model`.
void check_same_model(const LoadedCheckpoint& checkpoint, const Architecture& model);

}  // namespace virgil
