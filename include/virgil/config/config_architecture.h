// The model that a configuration describes.
#pragma once

#include <cstdint>

#include "virgil/config/train_config.h"
#include "virgil/model/architecture.h"

namespace virgil {

/// As written, not yet checked. `vocab_size`: the config's own may be left to the tokenizer.
[[nodiscard]] Architecture architecture_of(const TrainConfig& config, std::int64_t vocab_size);

}  // namespace virgil
