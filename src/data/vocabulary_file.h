// Where GPT-2's vocabulary lies on this machine.
#pragma once

#include <filesystem>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

/// Reads gpt2.tiktoken from the first of these folders that has it: $VIRGIL_DATA_DIR, data/ of the source tree, data/ beside or
/// above the executable, data/ of the current folder. Throws UserError naming data/fetch_gpt2_vocab.sh when none has, or when
/// the file's SHA-256 is not the known one.
[[nodiscard]] BytePairVocabulary read_gpt2_vocabulary();

}  // namespace virgil
