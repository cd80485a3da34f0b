// Words about keys that messages, --help and the documentation share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "virgil/config/config_schema.h"

namespace virgil {

/// "whole number", "number", "true or false", "string" or "string or list of strings".
[[nodiscard]] std::string type_text(const ConfigKey& key);
/// What a value may be: "a whole number from 1 to 1024", "one of cosine, linear", "true or false".
[[nodiscard]] std::string allowed_text(const ConfigKey& key);
/// The value of `key` in `config` as it is written on a command line; strings are escaped and quoted.
[[nodiscard]] std::string value_text(const TrainConfig& config, const ConfigKey& key);
/// The same without quotes, for shell_quote() to add what a shell needs. Not for keys that take several values.
[[nodiscard]] std::string plain_value(const TrainConfig& config, const ConfigKey& key);

/// The word that stands for a value of the key, or nothing.
[[nodiscard]] const ConfigKey::Word* find_word(const ConfigKey& key, std::int64_t value);
/// The word of that name, or nothing.
[[nodiscard]] const ConfigKey::Word* find_word(const ConfigKey& key, std::string_view name);

}  // namespace virgil
