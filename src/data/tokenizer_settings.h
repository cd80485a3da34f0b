// The settings of a tokenizer.json that say how a text becomes words, and what stands in the way of reading it.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/byte_pair_vocabulary.h"

namespace virgil {

/// Reads normalizer, pre_tokenizer and the model's switches (not the tokens). Throws one UserError that names every setting
/// that is not known.
[[nodiscard]] BytePairRules read_tokenizer_settings(const nlohmann::json& document, const std::filesystem::path& path);

/// A value for messages: at most about 80 bytes of it.
[[nodiscard]] std::string shorten_json(const nlohmann::json& value);

}  // namespace virgil
