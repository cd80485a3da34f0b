// How much there is to learn from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "virgil/base/logging.h"
#include "virgil/base/progress.h"
#include "virgil/config/train_config.h"
#include "virgil/data/tokenizer.h"

namespace virgil {

struct TextMeasure {
  std::string tokenizer;  // its name
  std::int64_t vocab_size = 0;
  std::int64_t train_tokens = 0;
  std::int64_t train_bytes = 0;  // of text that these stand for
  std::int64_t val_tokens = 0;   // 0: nothing is held out
  std::int64_t val_bytes = 0;

  /// Of the text that is evaluated on, else of the one trained on.
  [[nodiscard]] double bytes_per_token() const;
};

/// Bytes of the config's inputs, before anything is read. Throws UserError where one is not there.
[[nodiscard]] std::int64_t input_bytes(const TrainConfig& config, Logger& log);

/// Reads and tokenises the config's inputs as train does, and keeps nothing. Throws UserError, Stopped.
[[nodiscard]] TextMeasure measure_text(const TrainConfig& config, Logger& log, ProgressMonitor* progress);

}  // namespace virgil
