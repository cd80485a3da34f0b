// The files of a checkpoint that are for other programs and for people.
#pragma once

#include <vector>

#include "virgil/format/checkpoint.h"

namespace virgil {

/// The tokenizer's files, generation_config.json of transformers, and README.md: a model card that says what the model is, what
/// it was trained on and how to use it. The same contents give the same bytes.
[[nodiscard]] std::vector<Tokenizer::File> write_companion_files(const CheckpointContents& contents, const Architecture& model);

}  // namespace virgil
