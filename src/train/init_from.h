// What the key init_from does to a new run.
#pragma once

#include "virgil/base/logging.h"
#include "virgil/config/config_schema.h"
#include "virgil/format/pretrained_model.h"

namespace virgil {

/// Opens what config.init_from names (as find_checkpoint takes it) and gives `config` its sizes and tokenizer; says through
/// `log` what it took. Sizes of a config file are ignored; of `command_line`'s flags only a smaller block_size may differ,
/// which shortens the context. Throws UserError: a damaged folder, another flag that contradicts it, no tokenizer or one of
/// another vocabulary, a folder that overwrite would remove.
[[nodiscard]] PretrainedModel open_init_from(const CommandLine& command_line, TrainConfig& config, Logger& log);

}  // namespace virgil
