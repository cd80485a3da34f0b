// What a configuration asks of the data layer.
#pragma once

#include "virgil/config/train_config.h"
#include "virgil/data/dataset.h"

namespace virgil {

/// Its inputs, and how they are read, tokenised and kept. Tokenised texts of 64 MiB or more are kept, as cache_dir says.
[[nodiscard]] DataRequest data_request(const TrainConfig& config);

}  // namespace virgil
