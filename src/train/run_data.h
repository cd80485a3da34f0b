// What a run learns from, and the model that fits it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "virgil/base/file_system.h"
#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/config/train_config.h"
#include "virgil/data/dataset.h"
#include "virgil/format/checkpoint.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// A resumed run reads its inputs again. Throws UserError where one is gone; `resume_command` is the one to give its new path
/// to.
void check_inputs_of_resumed(const TrainConfig& config, const std::string& resume_command);

/// Reads and tokenises the inputs, with the checkpoint's tokenizer when a run is resumed. Throws UserError, Stopped.
[[nodiscard]] Dataset load_run_data(const TrainConfig& config, const LoadedCheckpoint* checkpoint, FileSystem& files,
                                    Logger& log, ProgressMonitor* progress = nullptr);

/// Throws UserError when vocab_size is smaller than the tokenizer's.
[[nodiscard]] Architecture make_model_config(const TrainConfig& config, const Tokenizer& tokenizer);
/// The same for a tokenizer of which only its size is known.
[[nodiscard]] Architecture make_model_config(const TrainConfig& config, std::int64_t vocab_size);

/// Throws UserError naming the key when a checkpoint is of another shape than `model`. `set_keys` are those given as flags.
void check_same_model(const LoadedCheckpoint& checkpoint, const Architecture& model,
                      std::span<const std::string> set_keys = {});

}  // namespace virgil
