// Values as people write them, and the same values as the table of keys knows them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "virgil/config/config_schema.h"

namespace virgil {

/// True or false, yes or no, on or off, 1 or 0, in any case; nothing for other words.
[[nodiscard]] std::optional<bool> parse_switch(std::string_view word);

/// "10k", "1_000" and "1e4" in plain digits; other words as they are.
[[nodiscard]] std::string plain_whole_number(std::string_view word);

/// The word by which `key` knows what another program calls `word` ("bf16": bfloat16, "gpu": cuda); other words as they are.
[[nodiscard]] std::string known_word(const ConfigKey& key, std::string_view word);

/// Why a value that `key` refuses cannot be had, and what can ("fp8": no type to train in); empty where there is nothing to
/// say.
[[nodiscard]] std::string why_not(const ConfigKey& key, std::string_view word);

}  // namespace virgil
